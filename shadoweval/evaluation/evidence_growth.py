"""How the evidence of each gate grew within the first look at it, so that its report shows more than where it ended.

Numbers for people: each is what a look at that moment would have shown, and nothing is decided by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Final

from shadoweval.records import PastLook
from shadoweval.verdict.assessment import gates_so_far
from shadoweval.verdict.columns import ScoredPair
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

__all__ = ["Growth"]

_FIRST: Final = 8
_STEP: Final = 1.4
"""From one point to the next: of a million pairs there are 36."""


class Growth:
    """Takes pairs into a trial and notes on the way how far each gate has come.

    Args:
        trial: Without pairs yet.
        rules: Under which the look is made.
    """

    def __init__(self, trial: Trial, rules: Rules) -> None:
        self._trial, self._rules = trial, rules
        self._points: list[PastLook] = []
        self._taken, self._next = 0, _FIRST

    def add_pairs(self, pairs: Iterable[ScoredPair]) -> None:
        """As of `Trial`; may be called again with later ones."""
        rest = iter(pairs)
        for first in rest:
            self._trial.add_pairs(self._counted(chain([first], islice(rest, self._next - self._taken - 1))))
            if self._taken >= self._next:
                self._next = max(self._next + _FIRST, round(self._next * _STEP))
                self._points.append(self._point())

    def points(self, pairs: int) -> tuple[PastLook, ...]:
        """Those before so many pairs, where the look itself stands."""
        return tuple(point for point in self._points if point.pairs < pairs)

    def _counted(self, pairs: Iterator[ScoredPair]) -> Iterator[ScoredPair]:
        for pair in pairs:
            self._taken += 1
            yield pair

    def _point(self) -> PastLook:
        return PastLook(
            id="",
            at=datetime.fromtimestamp(self._trial.last_asked, UTC),
            decision="hold",
            pairs=self._trial.pairs,
            gates=gates_so_far(self._trial, self._rules),
        )
