"""Every claim becomes a question about the mean of one bounded variable of a pair; here are these variables.

A variable turns both arms' scores, in query order, into X in [lo, hi], says for which pairs it could, and owns the
evidence about the mean of X. Where a metric has no range, values count up to a cap: a declared one, or ten times the
largest of the incumbent's first 50, after which it never moves; the pairs before it are not judged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeAlias

import numpy as np

from shadoweval.evidence.decay import Newest
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray

__all__ = [
    "Beyond",
    "CappedDifference",
    "CappedRatio",
    "Difference",
    "Level",
    "Measured",
    "Noise",
    "Relative",
    "Scale",
    "Scores",
    "Variable",
]

Measured: TypeAlias = tuple[FloatArray, BoolArray]
"""X of n pairs, shape (rows, n), and for which pairs it is known, shape (n,)."""

_BINS: Final = 200
_FINE_BINS: Final = 4_000
"""For money and seconds, which crowd near 0 (skewed ranges lose evidence on a coarse grid)."""
_SCORES: Final = ("incumbent", "candidate", "incumbent_scored", "candidate_scored", "noise", "noise_scored")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """One metric of n pairs in query order; all arrays have shape (n,). Where a score is missing its value is 0."""

    incumbent: FloatArray
    candidate: FloatArray
    incumbent_scored: BoolArray
    candidate_scored: BoolArray
    noise: FloatArray | None = None
    """The incumbent's re-run; None: nothing was re-run."""
    noise_scored: BoolArray | None = None
    both: BoolArray = field(init=False)
    """Where both arms have a score."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "both", self.incumbent_scored & self.candidate_scored)

    def of(self, which: BoolArray | IntArray | slice) -> Self:
        """The scores of some of the pairs."""
        columns = ((name, getattr(self, name)) for name in _SCORES)
        return replace(self, **{name: column[which] for name, column in columns if column is not None})


@dataclass(frozen=True, slots=True)
class Scale:
    """Smallest and largest value of a metric, None where it has no limit, and whether larger is better."""

    low: float | None = 0.0
    high: float | None = 1.0
    higher_is_better: bool = True

    @property
    def sign(self) -> int:
        """1 where larger is better, else -1."""
        return 1 if self.higher_is_better else -1

    @property
    def bounded(self) -> bool:
        """Whether it has both limits."""
        return self.low is not None and self.high is not None

    def span(self, cap: float | None = None) -> tuple[float, float]:
        """Smallest and largest value that counts; the cap (or 1) stands in where there is no limit."""
        reach = 1.0 if cap is None else cap
        return -reach if self.low is None else self.low, reach if self.high is None else self.high


class Variable(ABC):
    """X of a pair, in [lo, hi], from the scores of one metric, and the evidence about its mean.

    Args:
        scale: The metric's range and direction.
        rows: How many variables of the same pairs it stands for.
    """

    lo = -1.0
    hi = 1.0
    bins = _BINS

    def __init__(self, scale: Scale, *, rows: int = 1) -> None:
        self.scale = scale
        self.means = tuple(HistBet(self.lo, self.hi, bins=self.bins) for _ in range(rows))
        self.newest: Newest | None = None
        """Watches the newest units for a decay, where someone asked for it."""

    @property
    def mean(self) -> HistBet:
        """The evidence about the mean of its first (or only) row."""
        return self.means[0]

    @abstractmethod
    def measure(self, scores: Scores) -> Measured:
        """X and where it is known, for pairs in query order."""

    def add(self, scores: Scores, alone: BoolArray) -> Measured:
        """Measure pairs, and count those that are units by themselves."""
        values, known = self.measure(scores)
        self._count(values if known.all() and alone.all() else np.compress(known & alone, values, axis=1))
        return values, known

    def add_units(self, sums: FloatArray, counts: FloatArray) -> FloatArray:
        """Count units of several pairs: sums of X over them, shape (rows, m), and over how many, > 0, shape (m,)."""
        means = np.clip(sums / counts, self.lo, self.hi)
        self._count(means)
        return means

    def _count(self, values: FloatArray) -> None:
        if values.size:
            for mean, row in zip(self.means, values, strict=True):
                mean.extend(row)
            if self.newest is not None:
                self.newest.extend(values[0])

    def to_state(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        newest = None if self.newest is None else self.newest.to_state()
        return {"means": [mean.to_state() for mean in self.means], "newest": newest}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave, before any pair; the histograms stay the same objects."""
        for mean, counted in zip(self.means, state["means"], strict=True):
            mean.merge(HistBet.from_state(counted))
        if self.newest is not None:
            self.newest.restore(state["newest"])


class Difference(Variable):
    """Candidate - incumbent of a metric with a range, oriented so that larger is better, as a share of the range."""

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score."""
        low, high = self.scale.span()
        return ((scores.candidate - scores.incumbent) * (self.scale.sign / (high - low)))[np.newaxis], scores.both


class Relative(Variable):
    """Difference of two amounts >= 0 as a share of the larger one, oriented so that larger is better; for slices."""

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score."""
        larger = np.maximum(np.abs(scores.candidate), np.abs(scores.incumbent))
        gap = (scores.candidate - scores.incumbent) * self.scale.sign
        share = np.clip(np.divide(gap, larger, out=np.zeros_like(gap), where=larger > 0), -1, 1)
        return share[np.newaxis], scores.both


class Noise(Variable):
    """The incumbent's re-run - what it served, oriented and as a share of the range (or of the larger one)."""

    def __init__(self, scale: Scale) -> None:
        super().__init__(scale)
        self._contrast = (Difference if scale.bounded else Relative)(scale)

    def measure(self, scores: Scores) -> Measured:
        """Where both runs of the incumbent have a score."""
        if scores.noise is None or scores.noise_scored is None:
            return np.zeros((1, scores.incumbent.size)), np.zeros(scores.incumbent.size, dtype=np.bool_)
        return self._contrast.measure(replace(scores, candidate=scores.noise, candidate_scored=scores.noise_scored))


class AutoCap:
    """A cap that was declared, or ten times the largest of the incumbent's first 50 values."""

    WARMUP: Final = 50
    FACTOR: Final = 10.0

    def __init__(self, declared: float | None) -> None:
        self.cap = declared
        self.seen: list[float] = []

    def advance(self, scores: Scores) -> BoolArray:
        """Where the cap was known before the pair, and both arms have a score."""
        known = scores.both.copy()
        if self.cap is not None:
            return known
        places = np.flatnonzero(known)
        taken = places[: self.WARMUP - len(self.seen)]
        self.seen += np.abs(scores.incumbent[taken]).tolist()
        known[taken] = False
        if len(self.seen) == self.WARMUP:
            self.cap = self.FACTOR * max(*self.seen, 1e-9)
            self.seen = []
        else:
            known[:] = False
        return known


class _Capped(Variable):
    bins = _FINE_BINS

    def __init__(self, scale: Scale, cap: float | None) -> None:
        super().__init__(scale)
        self.limit = AutoCap(cap)
        self.capped = 0
        """How many of the candidate's values were larger than the cap."""

    def _clipped(self, scores: Scores) -> tuple[FloatArray, FloatArray, float, BoolArray]:
        known = self.limit.advance(scores)
        low, high = self.scale.span(self.limit.cap)
        self.capped += int((known & (scores.candidate > high)).sum())
        return np.clip(scores.incumbent, low, high), np.clip(scores.candidate, low, high), high - low, known

    def to_state(self) -> dict[str, Any]:
        """The evidence, the cap, and how often it was reached."""
        return super().to_state() | {"cap": self.limit.cap, "seen": list(self.limit.seen), "capped": self.capped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        super().restore(state)
        self.limit.cap, self.limit.seen, self.capped = state["cap"], list(state["seen"]), state["capped"]


class CappedDifference(_Capped):
    """As `Difference`, for a metric without a range: a share of what the cap leaves."""

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score and the cap is known."""
        incumbent, candidate, width, known = self._clipped(scores)
        return ((candidate - incumbent) * (self.scale.sign / width))[np.newaxis], known


class CappedRatio(_Capped):
    """(ratio * incumbent - candidate) / cap, whose mean is >= 0 exactly when the mean ratio is at most `ratio`."""

    def __init__(self, scale: Scale, cap: float | None, *, ratio: float) -> None:
        self.ratio = self.hi = ratio
        super().__init__(scale, cap if scale.high is None else scale.high)

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score and the cap is known."""
        incumbent, candidate, width, known = self._clipped(scores)
        return ((self.ratio * incumbent - candidate) / width)[np.newaxis], known


class Level(Variable):
    """The candidate's own value, as a share of the way from `low` to `high`."""

    lo = 0.0

    def __init__(self, scale: Scale, low: float, high: float) -> None:
        super().__init__(scale)
        self.low, self.high = low, high

    def value(self, part: float) -> float:
        """The value of which X is `part`."""
        return self.low + part * (self.high - self.low)

    def measure(self, scores: Scores) -> Measured:
        """Where the candidate has a score."""
        part = (np.clip(scores.candidate, self.low, self.high) - self.low) / (self.high - self.low)
        return part[np.newaxis], scores.candidate_scored


class Beyond(Variable):
    """1 where the candidate's value lies beyond a limit (above it, or below it), else 0."""

    lo = 0.0

    def __init__(self, scale: Scale, limit: float, *, above: bool) -> None:
        super().__init__(scale)
        self.limit, self.above = limit, above

    def measure(self, scores: Scores) -> Measured:
        """Where the candidate has a score."""
        beyond = scores.candidate > self.limit if self.above else scores.candidate < self.limit
        return beyond.astype(np.float64)[np.newaxis], scores.candidate_scored
