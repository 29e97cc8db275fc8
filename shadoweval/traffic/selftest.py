"""The alarm for a mirror that looks alive and mirrors nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from shadoweval.counters import LOSSES

__all__ = ["Silence", "silence"]

_CHANCE: Final = 0.001
_MEND: Final = {
    "off": "the sample is 0: give `mirror(sample=...)` a share",
    "killed": "the kill switch is pulled: see HOME/audit.jsonl, then `shadoweval resume`",
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

    Args:
        counters: Sum of the counters of all processes (`Receiver.counters()`).
        share: Share of the calls that should be mirrored: sample times the flag's share. The alarm waits until
            none in `eligible` calls would happen by chance in less than one of a thousand cases.
    """
    eligible = counters.get("eligible", 0)
    if counters.get("mirrored", 0) or eligible == 0:
        return None
    if 0.0 < share < 1.0 and eligible * math.log1p(-share) > math.log(_CHANCE):
        return None
    reason = max(LOSSES, key=lambda name: counters.get(name, 0))
    count = counters.get(reason, 0)
    return Silence(eligible=eligible, reason=reason if count else "", count=count)
