"""Which calls may be mirrored: `Traffic` is what an experiment asks for, `Admission` decides for each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

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


class _Lasting:
    """What all definitions of one name share in this process, however often a script makes one anew.

    A breaker needs hundreds of calls, losses are compared with those before, and a budget's file stays open: none of it
    may begin again with each definition, or stay behind with one that nobody has any more.

    Attributes:
        counters: What became of calls, as the newest definition has it.
    """

    def __init__(self, experiment: str, home: Path) -> None:
        self.counters: Callable[[], Mapping[str, int]] = dict
        self.gauges = default_gauges(experiment, home=lambda: home, counters=self._counted)
        self.breakers: dict[Any, Breaker] = {}
        self.budgets: dict[Any, Budget] = {}
        self.flags: dict[Path, StaticFlags] = {}

    def _counted(self) -> Mapping[str, int]:
        return self.counters()


_MOST_NAMES: Final = 64
"""Names that are remembered, and ways to limit one: who makes up more begins anew with each."""
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_known: Final[dict[tuple[Path, str], _Lasting]] = {}


def _remembered(known: dict[_Key, _Value], key: _Key, make: Callable[[], _Value]) -> _Value:
    """What is known under a key; the oldest is forgotten, and goes with the last definition that has it."""
    value = known.get(key)
    if value is None:
        if len(known) >= _MOST_NAMES:
            known.pop(next(iter(known), key), None)
        value = known.setdefault(key, make())
    return value


class Admission:
    """Decides for each call of one experiment: kill switch and breaker (`shut`), then flags and budget (`decide`).

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
        self._counters = counters
        self.breaker = traffic.breaker or Breaker()

    @cached_property
    def _lasting(self) -> _Lasting:
        home = self._settings().folder.absolute()
        name = self._experiment
        lasting = _remembered(_known, (home, name), lambda: _Lasting(name, home))
        lasting.counters = self._counters
        return lasting

    @cached_property
    def flags(self) -> FlagProvider | None:
        """Who says which requests may be mirrored."""
        file = self._settings().flags
        if self._traffic.flags is not None or not file:
            return self._traffic.flags
        return _remembered(self._lasting.flags, Path(file).absolute(), lambda: StaticFlags(file))

    @cached_property
    def switch(self) -> KillSwitch:
        """The kill switch; flags can throw it too."""
        self._go_on()
        also = self.flags.kill_reason if self.flags else None
        return KillSwitch(self._experiment, home=self._settings().folder, also=also)

    @cached_property
    def budget(self) -> Budget:
        """What is left of today's budget, for all processes of this host."""
        calls, tokens, usd = limits = tuple(self._traffic.budget.get(name) for name in _BUDGETS)

        def make() -> Budget:
            return Budget(
                self._experiment,
                home=self._settings().folder,
                calls=None if calls is None else int(calls),
                tokens=None if tokens is None else int(tokens),
                usd=usd,
            )

        return _remembered(self._lasting.budgets, limits, make)

    @cached_property
    def selftest(self) -> SelfTest:
        """The alarm for a mirror that mirrors nothing."""
        return SelfTest(self._experiment, home=self._settings().folder, share=self._share)

    def _go_on(self) -> None:
        """At the first call: have the breaker go on where that of an earlier definition stands."""
        self.breaker.add_gauges(*self._lasting.gauges)
        self.breaker.go_on(_remembered(self._lasting.breakers, self.breaker.kind, lambda: self.breaker))

    @property
    def guards(self) -> dict[str, Any]:
        """What a mirror asks about its calls, and tells of them; see `mirror.decorator.Mirror`."""
        charge = self._charge if self._traffic.budget else None
        told = {"observe": self.breaker.observe, "asked": self.breaker.asked, "charge": charge}
        return {"shut": self.shut, "decide": self.decide, **told}

    def shut(self) -> str | None:
        """Why nothing may be mirrored now, whoever calls (a name in `counters.LOSSES`), or None; asked once a call.

        While the breaker is open nothing else is asked, readers of attributes included: they may be what is slow.
        """
        breaker = self.breaker
        if breaker.state == "open" and breaker.open():
            return "breaker_open"
        if self.switch.killed():
            # Flags that can't be trusted kill too, but nobody asked for that: it has to raise the alarm.
            return "killed" if self.flags is None or self.flags.reason() is None else "flag_error"
        return "breaker_open" if breaker.open() else None  # after the switch: it thins by being asked

    def decide(self, unit: str, attributes: Mapping[str, Any]) -> str | None:
        """Why this call is not mirrored (a name in `counters.LOSSES`), or None. Raising means no, and is counted."""
        lost = self._flag_loss(unit, attributes)
        if lost is not None:
            return lost
        if self._traffic.budget and self.budget.spent():
            return "budget_spent"
        return None

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
