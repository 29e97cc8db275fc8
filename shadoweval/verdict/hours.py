"""Which hours of the day, and of the week, have been seen: traffic covers a cycle, the time between two queries not.

Hours are the clock's, in UTC. The state is one number for each hour of a week, however long the window is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from shadoweval.evidence.inputs import FloatArray

__all__ = ["Hours", "waits_for_hours"]

_HOUR: Final = 3600
_DAY: Final = 24
_WEEK: Final = 168
_FEW: Final = 3
"""Pairs that an hour must have to count as seen: a single late query is no night."""

_STOPPED: Final = ("budget_spent", "off", "killed", "breaker_open")
"""Reasons of the funnel that leave out whole stretches of time."""


class Hours:
    """Pairs by the hour of the week in which they were asked."""

    def __init__(self) -> None:
        self._pairs = np.zeros(_WEEK, dtype=np.int64)
        """By hours since the last Thursday 00:00 UTC, the weekday of 1970-01-01."""

    def add(self, asked_at: FloatArray) -> None:
        """Count pairs; seconds since 1970, in any order."""
        hours = (asked_at // _HOUR).astype(np.int64) % _WEEK
        self._pairs += np.bincount(hours, minlength=_WEEK)

    def covered(self, cycle: int) -> int:
        """How many hours of the day (24) or of the week (168) have at least a few pairs."""
        return cycle - len(self.unseen(cycle))

    def unseen(self, cycle: int) -> list[int]:
        """The other ones, rising."""
        pairs = self._pairs.reshape(-1, cycle).sum(axis=0)
        return [int(hour) for hour in np.flatnonzero(pairs < _FEW)]

    def to_state(self) -> list[int]:
        """All of it as plain numbers."""
        return self._pairs.tolist()

    def restore(self, state: list[int]) -> None:
        """Take up what `to_state` gave."""
        self._pairs = np.array(state, dtype=np.int64)


def waits_for_hours(
    hours: Hours, *, span: float, least: float | None, not_mirrored: Mapping[str, int] | None = None
) -> tuple[str, ...]:
    """Why a promotion waits for more hours of traffic; empty: it does not.

    Args:
        hours: What was seen.
        span: Hours between the first and the last query.
        least: `Rules.min_hours`; up to 24 they are hours of the day, beyond it hours of the week. None: not asked for.
        not_mirrored: Reason -> queries, of the funnel.
    """
    if not least:
        return ()
    if span < least:
        return (f"{span:.1f} of at least {least:g} hours of traffic",)
    cycle = _DAY if least <= _DAY else _WEEK
    needed, seen = min(math.ceil(least), cycle), hours.covered(cycle)
    if seen >= needed:
        return ()
    whole = "day" if cycle == _DAY else "week"
    missing = _spans(sorted({hour % _DAY for hour in hours.unseen(cycle)}))
    stopped = {reason: n for reason in _STOPPED if (n := (not_mirrored or {}).get(reason, 0))}
    why = f", and the mirror left queries out ({_counted(stopped)})" if stopped else ""
    sentence = (
        f"{seen} of at least {needed} hours of the {whole} have traffic: fewer than {_FEW} pairs were asked {missing} "
        f"UTC{why}. What is asked then may be other than the rest: wait for it, or write Rules(min_hours={seen}) if "
        "nothing is ever asked then"
    )
    return (sentence,)


def _counted(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in reasons.items())


def _spans(hours: list[int]) -> str:
    """Hours of the day as stretches: `from 00:00 to 08:00 and from 17:00 to 24:00`."""
    stretches: list[list[int]] = []
    for hour in hours:
        if stretches and stretches[-1][1] == hour:
            stretches[-1][1] = hour + 1
        else:
            stretches.append([hour, hour + 1])
    return " and ".join(f"from {first:02}:00 to {beyond:02}:00" for first, beyond in stretches)
