"""Every claim becomes a question about the mean of one bounded variable of a pair; here are these variables.

A variable turns both arms' scores, in query order, into X in [lo, hi] and says for which pairs it could. Where a
metric has no range, values count up to a cap: declared with the gate, or ten times the largest of the incumbent's
first 50, after which it never moves; the pairs before it are not judged.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, TypeAlias

import numpy as np

from shadoweval.evidence.thresholds import PredictableQuantiles
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import BoolArray, FloatArray, ScoreColumns

__all__ = [
    "AutoCap",
    "Beyond",
    "CappedDifference",
    "CappedRatio",
    "Difference",
    "Exceedance",
    "Level",
    "Noise",
    "Relative",
    "Variable",
    "span",
]

Measured: TypeAlias = tuple[FloatArray, BoolArray]

BINS: Final = 200
FINE_BINS: Final = 4_000
"""For money and seconds, which crowd near 0 (skewed ranges lose evidence on a coarse grid)."""


class Variable(ABC):
    """X of a pair, in [lo, hi], from the scores of one metric."""

    lo = -1.0
    hi = 1.0
    bins = BINS

    def __init__(self, of: Metric) -> None:
        self.of = of

    @property
    def metric(self) -> str:
        """Name of the metric that it is made of."""
        return self.of.name

    @property
    def sign(self) -> int:
        """1 where larger is better, else -1."""
        return 1 if self.of.higher_is_better else -1

    @abstractmethod
    def measure(self, scores: ScoreColumns) -> Measured:
        """X and where it is known, both of shape (n,), for pairs in query order."""

    def to_state(self) -> dict[str, Any]:
        """What it has learned from the pairs so far, as JSON values."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        del state


def span(metric: Metric, cap: float | None = None) -> tuple[float, float]:
    """Smallest and largest value that counts; the cap stands in where the metric has no range."""
    reach = 1.0 if cap is None else cap
    return -reach if metric.low is None else metric.low, reach if metric.high is None else metric.high


class Difference(Variable):
    """Candidate - incumbent of a metric with a range, oriented so that larger is better, as a share of the range."""

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where both arms have a score."""
        low, high = span(self.of)
        return (scores.candidate - scores.incumbent) * (self.sign / (high - low)), scores.both


class Relative(Variable):
    """Difference of two amounts >= 0 as a share of the larger one, oriented so that larger is better; for slices."""

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where both arms have a score."""
        larger = np.maximum(np.abs(scores.candidate), np.abs(scores.incumbent))
        gap = (scores.candidate - scores.incumbent) * self.sign
        return np.clip(np.divide(gap, larger, out=np.zeros_like(gap), where=larger > 0), -1, 1), scores.both


class Noise(Variable):
    """The incumbent's re-run - what it served, oriented and as a share of the range (or of the larger one)."""

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where both runs of the incumbent have a score."""
        if scores.noise is None or scores.noise_scored is None:
            return np.zeros(scores.incumbent.size), np.zeros(scores.incumbent.size, dtype=np.bool_)
        twice = replace(scores, candidate=scores.noise, candidate_scored=scores.noise_scored)
        bounded = self.of.low is not None and self.of.high is not None
        return (Difference if bounded else Relative)(self.of).measure(twice)


class AutoCap:
    """A cap that was declared, or ten times the largest of the incumbent's first 50 values."""

    WARMUP: Final = 50
    FACTOR: Final = 10.0

    def __init__(self, declared: float | None) -> None:
        self.cap = declared
        self.declared = declared is not None
        self._seen: list[float] = []

    def advance(self, scores: ScoreColumns) -> BoolArray:
        """Where the cap was known before the pair, and both arms have a score."""
        known = scores.both.copy()
        if self.cap is not None:
            return known
        places = np.flatnonzero(known)
        taken = places[: self.WARMUP - len(self._seen)]
        self._seen += np.abs(scores.incumbent[taken]).tolist()
        known[taken] = False
        if len(self._seen) == self.WARMUP:
            self.cap = self.FACTOR * max(*self._seen, 1e-9)
            self._seen = []
        else:
            known[:] = False
        return known

    def to_state(self) -> Mapping[str, Any]:
        """Cap and the values on the way to it."""
        return {"cap": self.cap, "seen": list(self._seen)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.cap, self._seen = state["cap"], list(state["seen"])


class _Capped(Variable):
    bins = FINE_BINS

    def __init__(self, of: Metric, cap: float | None) -> None:
        super().__init__(of)
        self.limit = AutoCap(cap)
        self.capped = 0
        """How many of the candidate's values were larger than the cap."""

    def _clipped(self, scores: ScoreColumns) -> tuple[FloatArray, FloatArray, float, BoolArray]:
        known = self.limit.advance(scores)
        low, high = span(self.of, self.limit.cap)
        self.capped += int((known & (scores.candidate > high)).sum())
        return np.clip(scores.incumbent, low, high), np.clip(scores.candidate, low, high), high - low, known

    def to_state(self) -> dict[str, Any]:
        """The cap, and how often it was reached."""
        return {"limit": self.limit.to_state(), "capped": self.capped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.limit.restore(state["limit"])
        self.capped = state["capped"]


class CappedDifference(_Capped):
    """As `Difference`, for a metric without a range: a share of what the cap leaves."""

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where both arms have a score and the cap is known."""
        incumbent, candidate, width, known = self._clipped(scores)
        return (candidate - incumbent) * (self.sign / width), known


class CappedRatio(_Capped):
    """(ratio * incumbent - candidate) / cap, whose mean is >= 0 exactly when the mean ratio is at most `ratio`."""

    def __init__(self, of: Metric, cap: float | None, *, ratio: float) -> None:
        super().__init__(of, of.high if of.high is not None else cap)
        self.ratio = self.hi = ratio

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where both arms have a score and the cap is known."""
        incumbent, candidate, width, known = self._clipped(scores)
        return (self.ratio * incumbent - candidate) / width, known


class Level(Variable):
    """The candidate's own value, as a share of the way from `low` to `high`."""

    lo = 0.0

    def __init__(self, of: Metric, low: float, high: float) -> None:
        super().__init__(of)
        self.low, self.high = low, high

    def value(self, part: float) -> float:
        """The value of which X is `part`."""
        return self.low + part * (self.high - self.low)

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where the candidate has a score."""
        part = (np.clip(scores.candidate, self.low, self.high) - self.low) / (self.high - self.low)
        return part, scores.candidate_scored


class Beyond(Variable):
    """1 where the candidate's value lies beyond a limit (above it, or below it), else 0."""

    lo = 0.0

    def __init__(self, of: Metric, limit: float, *, above: bool) -> None:
        super().__init__(of)
        self.limit, self.above = limit, above

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where the candidate has a score."""
        beyond = scores.candidate > self.limit if self.above else scores.candidate < self.limit
        return beyond.astype(np.float64), scores.candidate_scored


class Exceedance(Variable):
    """1{candidate beyond the bound} - 1{incumbent beyond its own quantile}: 1 where only the candidate is bad.

    The quantile is known before the pair (stats.thresholds); the bound is `ratio` times it plus `shift`. "Beyond" is
    above where lower is better, else below.
    """

    def __init__(self, of: Metric, level: float, *, ratio: float = 1.0, shift: float = 0.0) -> None:
        super().__init__(of)
        self.level, self.ratio, self.shift = level, ratio, shift
        self._thresholds = PredictableQuantiles((level,))

    def measure(self, scores: ScoreColumns) -> Measured:
        """Where both arms have a score and the quantile is known."""
        known = scores.both.copy()
        places = np.flatnonzero(known)
        values = np.zeros(known.size)
        incumbent, candidate = scores.incumbent[places], scores.candidate[places]
        for part, tau in self._thresholds.advance(incumbent):
            if tau is None:
                known[places[part]] = False
                continue
            own = float(tau[0])
            bound = self.ratio * own + self.shift
            if self.of.higher_is_better:
                bad, was_bad = candidate[part] < bound, incumbent[part] < own
            else:
                bad, was_bad = candidate[part] > bound, incumbent[part] > own
            values[places[part]] = bad.astype(np.float64) - was_bad
        return values, known

    def to_state(self) -> dict[str, Any]:
        """The thresholds so far."""
        return {"thresholds": self._thresholds.to_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._thresholds = PredictableQuantiles.from_state(state["thresholds"])
