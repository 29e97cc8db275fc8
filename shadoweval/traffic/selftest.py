"""The alarm for a mirror that looks alive and mirrors nothing.

Counters are sums over all time, so a single mirrored call of last week would mute it for ever. A `SelfTest` remembers
in `HOME/selftest/NAME.json` what the counters were when a check last saw more mirrored calls than the check before,
and tests what came since. Whoever checks (worker, evaluation, `shadoweval status`) shares that memory.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from shadoweval.counters import LOSSES
from shadoweval.private import private_folder, replace_private

__all__ = ["SelfTest"]

_log: Final = logging.getLogger("shadoweval.traffic")

_CHANCE: Final = 0.001
_SURE: Final = 0.3
"""A share is taken for no larger: twenty calls are needed before nothing among them says something."""
_UNKNOWN: Final = 0.001
"""The share where calls fall to sampling and nobody knows how many should."""
_MARGIN: Final = 0.5
"""A share that was estimated from earlier counts may be twice as large as today's."""
_MEND: Final = {
    "off": "the sample is 0: give `mirror(sample=...)` a share",
    "killed": "`shadoweval status` says what kills it, HOME/audit.jsonl since when; then `shadoweval resume`",
    "flag_off": "the flag is off, not scheduled yet, or names another experiment",
    "flag_error": "the flag file or provider can't be trusted: `reason()` of it says why",
    "not_targeted": "no call meets the targeting: compare the rules with the attributes and the unit the calls carry",
    "not_sampled": "the share is too small for this traffic",
    "control": "the control share takes every sampled call",
    "breaker_open": "the breaker is open: `reason()` of it says what was beyond its limit",
    "budget_spent": "today's budget is spent, or its file can't be read",
    "nested": "every call comes from inside another mirrored call: mirror the outer one only",
    "uncopyable": "the arguments can't be copied: see the warnings of the logger `shadoweval.mirror`",
    "too_large": "the arguments are over the size cap: raise `max_bytes`",
    "aborted": "every stream is given up by its consumer before it ends",
    "full": "the spool is full: is a worker running?",
    "transport_error": "the spool can't be written: look at the folder and its disk",
}


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was mirrored although there were calls."""

    eligible: int
    reason: str
    """The most frequent loss; empty where the counters name none."""
    count: int

    @property
    def meant(self) -> bool:
        """Whether somebody asked for it."""
        return self.reason in {"off", "killed"}

    def __str__(self) -> str:
        mend = _MEND.get(self.reason, "see the warnings of the logger `shadoweval.mirror`")
        return (
            f"{self.eligible:,} calls, none mirrored. Most frequent reason: {self.reason or 'not counted'} "
            f"({self.count:,}): {mend}."
        )


def silence(counters: Mapping[str, int], *, share: float = 1.0) -> Silence | None:
    """The alarm, or None where calls are mirrored, or too few came to expect one.

    `share` of the calls should be mirrored. The alarm waits until none in `eligible` calls would happen by chance in
    less than one of a thousand cases.
    """
    eligible = counters.get("eligible", 0)
    if counters.get("mirrored", 0) or eligible == 0:
        return None
    if 0.0 < share < 1.0 and eligible * math.log1p(-share) > math.log(_CHANCE):
        return None
    reason = max(LOSSES, key=lambda name: counters.get(name, 0))
    count = counters.get(reason, 0)
    return Silence(eligible=eligible, reason=reason if count else "", count=count)


class SelfTest:
    """Checks an experiment's counters, again and again, from any process that shares `home`.

    `share` gives the share of the calls that should be mirrored (sample times the flag's share), or None where that is
    not known; then it is estimated from what was mirrored before.
    """

    def __init__(self, experiment: str, *, home: Path, share: Callable[[], float | None] = lambda: None) -> None:
        self._file = home.absolute() / "selftest" / f"{experiment}.json"
        self._share = share
        self._counters: dict[str, int] | None = None

    def check(self, counters: Mapping[str, int]) -> Silence | None:
        """The alarm about the calls since a check last saw new mirrored ones."""
        before = self._before()
        mirrored, eligible = counters.get("mirrored", 0), counters.get("eligible", 0)
        if mirrored != before.get("mirrored", 0) or eligible < before.get("eligible", 0):
            self._keep(dict(counters))  # new mirrored ones, or counters that began anew
            return None
        since = {name: n - before.get(name, 0) for name, n in counters.items()}
        since["mirrored"] = 0
        return silence(since, share=self._expected(before, since))

    def _expected(self, before: Mapping[str, int], since: Mapping[str, int]) -> float:
        known = self._share()
        if known is not None:
            return min(known, _SURE)
        mirrored, eligible = before.get("mirrored", 0), before.get("eligible", 0)
        if mirrored and eligible:
            return min(mirrored / eligible * _MARGIN, _SURE)
        by_chance = since.get("not_sampled", 0) + since.get("control", 0)
        return _UNKNOWN if by_chance else _SURE

    def _before(self) -> dict[str, int]:
        try:
            counters: Any = json.loads(self._file.read_bytes())
        except (OSError, ValueError):  # missing or damaged: what this process remembers, or everything counts as new
            return self._counters or {}
        return cast("dict[str, int]", counters) if isinstance(counters, dict) else {}

    def _keep(self, counters: dict[str, int]) -> None:
        self._counters = counters
        try:
            private_folder(self._file.parent)
            replace_private(self._file, json.dumps(counters).encode())
        except OSError as error:  # this process remembers it
            _log.warning("The self-test can't keep what it saw", extra={"why": str(error)})
