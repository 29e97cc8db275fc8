"""Do the arms fail in other ways? As many failures may be worse ones: what crashed at once hangs until the deadline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from shadoweval.evidence.histbet import HistBet
from shadoweval.records import Observation

__all__ = ["FailureClasses", "classes_of"]

_MOST: Final = 50
_OTHERS: Final = "other failures"


def classes_of(run: Observation) -> tuple[str, ...]:
    """The kind of a run's own failure, and the class of its exception; empty: it did not fail by its own doing."""
    if run.failure is None or run.owner in {"caller", "shadow"}:
        return ()
    named = run.failure.error_type.rpartition(".")[2]
    return (run.failure.kind, *([named] if named else ()))


class FailureClass(NamedTuple):
    """Pairs in which one arm alone failed in this way."""

    name: str
    candidate: int
    incumbent: int

    def evidence(self, pairs: int) -> HistBet:
        """Whether a pair is lost by it (-1), won (1) or neither: exact for the running mean given the past."""
        counts = np.array([self.candidate, pairs - self.candidate - self.incumbent, self.incumbent], dtype=np.float64)
        return HistBet.from_counts(counts, lo=-1.0, hi=1.0, squares=float(self.candidate + self.incumbent))


@dataclass(slots=True)
class FailureClasses:
    """Counts by class of failure; batches add up."""

    _alone: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    """Pairs in which the candidate alone, and the incumbent alone, failed so."""

    def count(self, incumbent: tuple[str, ...], candidate: tuple[str, ...]) -> None:
        """Count one pair."""
        for arm, ours, theirs in ((0, candidate, incumbent), (1, incumbent, candidate)):
            for name in ours:
                if name not in theirs:
                    self._add(name, arm, 1)

    def _add(self, name: str, arm: int, n: int) -> None:
        known = name in self._alone or len(self._alone) < _MOST
        self._alone.setdefault(name if known else _OTHERS, [0, 0])[arm] += n

    def merge(self, other: FailureClasses) -> None:
        """Add another batch's counts."""
        for name, alone in other._alone.items():
            for arm, n in enumerate(alone):
                self._add(name, arm, n)

    def __len__(self) -> int:
        return len(self._alone)

    def __iter__(self) -> Iterator[FailureClass]:
        return (FailureClass(name, *alone) for name, alone in self._alone.items())

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {name: list(alone) for name, alone in self._alone.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._alone = {name: list(alone) for name, alone in state.items()}
