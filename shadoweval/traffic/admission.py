"""Which calls may be mirrored: `Traffic` is what an experiment asks for, `Admission` decides for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from shadoweval.checks import checked_function, checked_instance, checked_keywords, checked_mapping, checked_number
from shadoweval.errors import ExperimentError, closest
from shadoweval.protocols import FlagProvider, Transport
from shadoweval.settings import Settings
from shadoweval.traffic.breaker import Breaker
from shadoweval.traffic.budget import Budget
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.gauges import default_gauges
from shadoweval.traffic.kill import KillSwitch
from shadoweval.traffic.selftest import SelfTest

__all__ = ["Admission", "Traffic"]

_BUDGETS: Final = ("calls", "tokens", "usd")


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """When mirroring stops, and the way out of the request path.

    Raises:
        ExperimentError: something can't be used, such as a budget with an unknown name or a negative amount.
    """

    flags: FlagProvider | None = None
    """Says for each request whether it may be mirrored; None: the flag file of the settings, if there is one, else
    sampling alone decides."""
    breaker: Breaker | None = None
    """Turns the mirror off while the incumbent suffers; None: one with the default limits. One without gauges of its
    own also checks rate limits, losses and the worker's backlog."""
    budget: Mapping[str, float] = field(default_factory=dict[str, float])
    """What the candidates may use in a day (UTC): `calls`, `tokens`, `usd`; a name that is missing has no limit."""
    transport: Transport | None = None
    """The way out of the request path; None: chosen for the platform."""

    def __post_init__(self) -> None:
        if self.flags is not None:
            mend = "Write StaticFlags('flags.toml'), or derive yours from it: the defaults do the rest."
            checked_instance("Traffic.flags", self.flags, FlagProvider, mend=mend)
            for name in ("mirrored", "loss", "kill_reason"):  # a coroutine is true, which would let everything through
                checked_function(f"Traffic.flags.{name}", getattr(self.flags, name))
        if self.breaker is not None:
            checked_instance("Traffic.breaker", self.breaker, Breaker, mend="Write Breaker(BreakerLimits(...)).")
        object.__setattr__(self, "budget", _checked_budget(self.budget))
        if self.transport is not None:
            mend = "Derive yours from it: the defaults do the rest."
            checked_instance("Traffic.transport", self.transport, Transport, mend=mend)


class Admission:
    """Decides for each call of one experiment: kill switch, flags, budget and breaker, asked in this order.

    `settings` is asked at the first call, since a definition reads no file. `counters` gives what became of the calls
    of this process (see `counters.py`), `sampled` the share of them that sampling lets through, or None where it is not
    known.
    """

    def __init__(
        self,
        experiment: str,
        traffic: Traffic,
        *,
        settings: Callable[[], Settings],
        counters: Callable[[], Mapping[str, int]],
        sampled: Callable[[], float | None],
    ) -> None:
        self._experiment, self._traffic, self._settings, self._sampled = experiment, traffic, settings, sampled
        self.breaker = traffic.breaker or Breaker()
        self.breaker.add_gauges(*default_gauges(experiment, home=lambda: settings().folder, counters=counters))

    @cached_property
    def flags(self) -> FlagProvider | None:
        """Who says which requests may be mirrored."""
        file = self._settings().flags
        return self._traffic.flags or (StaticFlags(file) if file else None)

    @cached_property
    def switch(self) -> KillSwitch:
        """The kill switch; flags can throw it too."""
        also = self.flags.kill_reason if self.flags else None
        return KillSwitch(self._experiment, home=self._settings().folder, also=also)

    @cached_property
    def budget(self) -> Budget:
        """What is left of today's budget, for all processes of this host."""
        calls, tokens, usd = (self._traffic.budget.get(name) for name in ("calls", "tokens", "usd"))
        return Budget(
            self._experiment,
            home=self._settings().folder,
            calls=None if calls is None else int(calls),
            tokens=None if tokens is None else int(tokens),
            usd=usd,
        )

    @cached_property
    def selftest(self) -> SelfTest:
        """The alarm for a mirror that mirrors nothing."""
        return SelfTest(self._experiment, home=self._settings().folder, share=self._share)

    @property
    def charge(self) -> Callable[[], None] | None:
        """Charges the budget for one mirrored call; None: there is no budget."""
        return self._charge if self._traffic.budget else None

    def decide(self, unit: str, attributes: Mapping[str, Any]) -> str | None:
        """The reason not to mirror (a name in `counters.LOSSES`), or None. Raising means no, and is counted."""
        if self.switch.killed():
            # Flags that can't be trusted kill too, but nobody asked for that: it has to raise the alarm.
            return "killed" if self.flags is None or self.flags.reason() is None else "flag_error"
        lost = self._flag_loss(unit, attributes)
        if lost is not None:
            return lost
        if self._traffic.budget and self.budget.spent():
            return "budget_spent"
        return "breaker_open" if self.breaker.open() else None  # last: it thins by being asked

    def _flag_loss(self, unit: str, attributes: Mapping[str, Any]) -> str | None:
        if self.flags is None:
            return None
        try:
            return self.flags.loss(self._experiment, unit, attributes)
        except Exception:  # noqa: BLE001 - a broken flag provider means no, and has a reason of its own
            return "flag_error"

    def _charge(self) -> None:
        self.budget.charge(calls=1)

    def _share(self) -> float | None:
        """Share of the calls that should be mirrored, by what this process knows."""
        sampled = self._sampled()
        if sampled is None or self.flags is None:
            return sampled
        return sampled * self.flags.share(self._experiment)


def _checked_budget(budget: Mapping[str, float]) -> dict[str, float]:
    """Amounts a day by name."""
    amounts = checked_mapping("budget", budget)
    for name, most in amounts.items():
        if name not in _BUDGETS:
            raise ExperimentError(
                f"budget has no {name!r}. Give a number for {', '.join(_BUDGETS)}.{closest(name, _BUDGETS)}"
            )
        amounts[name] = checked_number(f"budget[{name!r}]", most, low=0)
    return amounts
