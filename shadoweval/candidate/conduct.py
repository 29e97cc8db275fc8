"""How an arm's processes behaved that is no run's doing: why they were given up, what was refused between runs."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from typing import Final

from shadoweval.candidate.guard import advice
from shadoweval.candidate.remote_child import RemoteChild
from shadoweval.logs import logger
from shadoweval.records import Arm
from shadoweval.seldom import Seldom

__all__ = ["Conduct"]

_log: Final = logger(__name__)
_seldom: Final = Seldom()
_LATE: Final = 50
"""Refusals between runs that are told apart."""


class Conduct:
    """Counts of one arm."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self._given_up: collections.Counter[str] = collections.Counter()
        self._late: collections.Counter[str] = collections.Counter()

    def ended(self, child: RemoteChild) -> None:
        """A process takes no further run."""
        for refusal in child.late:
            what = f"{refusal.kind} {refusal.detail!r}; if it is needed, {advice(refusal)}"
            self._late[what if what in self._late or len(self._late) < _LATE else "and others"] += refusal.count

    def gave_up(self, why: str) -> None:
        """A process was given up that could have served further runs."""
        self._given_up[why] += 1
        if _seldom.due((self._arm, why)):
            _log.warning("a candidate's process was given up", extra={"arm": self._arm, "why": why})

    def sentences(self, deaths: Mapping[str, int]) -> tuple[str, ...]:
        """All of it in words. `deaths`: how fork servers died before they had forked, and how often."""
        return (
            *(f"{n:,} processes were given up: {why}" for why, n in self._given_up.most_common()),
            *(f"fork servers died {n:,} times before they had forked: {how}" for how, n in deaths.items()),
            *(f"refused {n:,} times between runs: {what}" for what, n in self._late.most_common()),
        )
