"""Every claim becomes a question about the mean of one bounded variable of a pair; here are these variables.

A variable turns both arms' scores, in query order, into X in [lo, hi], says for which pairs it could, and owns the
evidence about the mean of X. Metrics without a range have theirs in `capped`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self, TypeAlias

import numpy as np

from shadoweval.evidence.caps import Cut
from shadoweval.evidence.decay import Newest
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray
from shadoweval.evidence.ppi import BINS, reach
from shadoweval.evidence.returning import Generations
from shadoweval.evidence.traffic_mean import TrafficMean
from shadoweval.evidence.views import Places, Views

__all__ = [
    "Difference",
    "Level",
    "Measured",
    "Noise",
    "Relative",
    "Scale",
    "Scores",
    "Variable",
    "without_gain",
]

Measured: TypeAlias = tuple[FloatArray, BoolArray]
"""X of n pairs, shape (rows, n), and for which pairs it is known, shape (n,)."""

_BINS: Final = 200
_SCORES: Final = (
    "incumbent",
    "candidate",
    "incumbent_scored",
    "candidate_scored",
    "noise",
    "noise_scored",
    "no_gain",
)


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
    no_gain: BoolArray | None = None
    """Where the candidate can't be credited for being better; None: nowhere."""
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
    least_chance: float = 1.0
    """Scores are weighed by the chance with which a pair was drawn for them, at least this one; 1: all have one."""

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
        self.ends = self.lo, self.hi
        """Where the mean of X lies, however far a single X may reach."""
        if scale.least_chance < 1:
            beyond = (self.hi - self.lo) / 2 * (reach(scale.least_chance) - 1)
            self.lo, self.hi, self.bins = self.lo - beyond, self.hi + beyond, BINS
        self.means = tuple(HistBet(self.lo, self.hi, bins=self.bins) for _ in range(rows))
        self.newest: list[tuple[int, Newest]] = []
        """Who watches the newest clusters, by which row, for a decay."""
        self.views: Views | None = None
        """Looks at units that come back, where someone asked for it."""
        self.visits = False
        """Whether all clusters of a unit count in `means`: exact for what these units were to meet, given the past."""
        self.traffic = TrafficMean(self.lo, self.hi)
        """The mean of its first row over all pairs."""

    def within_ends(self, lower: float, upper: float) -> tuple[float, float]:
        """Bounds of the mean of X, where it lies whatever a single X can be."""
        low, high = self.ends
        return min(max(lower, low), high), max(min(upper, high), low)

    def watch_returning(self, *, every_pair: bool) -> None:
        """Look at units that come back, too; with `every_pair` at each pair as well."""
        watched = self.views is not None and self.views.pairs is not None
        self.views = Views(self.lo, self.hi, bins=self.bins, rows=len(self.means), every_pair=every_pair or watched)

    @property
    def mean(self) -> HistBet:
        """The evidence about the mean of its first (or only) row, by the first cluster of each unit, or by all."""
        return self.means[0]

    @abstractmethod
    def measure(self, scores: Scores) -> Measured:
        """X and where it is known, for pairs in query order."""

    def add(self, scores: Scores) -> Measured:
        """Measure pairs; they count as evidence once their clusters are complete."""
        values, known = self.measure(scores)
        every = values if known.all() else np.compress(known, values, axis=1)
        self.traffic.add_pairs(every[0])
        if self.views is not None:
            self.views.add_pairs(every)
        return values, known

    def expect_returning(self) -> None:
        """Some unit has brought a second pair, or may: pairs and clusters are no longer the same."""
        self.traffic.clustered = True
        if self.views is not None:
            self.views.alike = False

    def add_independent(self, scores: Scores) -> None:
        """Measure pairs and count each as the only one of its unit; for numbers that come without units."""
        values, known = self.add(scores)
        only = Places(Generations.firsts(np.zeros(int(known.sum()))), first_day=0)
        self.add_clusters(np.compress(known, values, axis=1), None, only)

    def add_clusters(self, sums: FloatArray, counts: IntArray | None, places: Places) -> FloatArray:
        """Count clusters that are complete; gives back the means of X over them, shape (rows, m).

        Args:
            sums: Of X over each, shape (rows, m).
            counts: Over how many pairs, > 0, shape (m,); None: each is one pair.
            places: Where among their units' clusters they stand.
        """
        means = sums if counts is None else np.clip(sums / counts, self.lo, self.hi)
        total = squares = 0.0
        for period, at in places.firsts:
            parts = [HistBet(self.lo, self.hi, bins=self.bins).extend(row[at]) for row in means]
            for mean, part in zip(self.means, parts, strict=True):
                mean.merge(part)
            if self.views is not None:
                self.views.add_firsts(parts, period=period)
            total, squares = total + parts[0].total, squares + parts[0].squares
        for row, newest in self.newest:
            newest.extend(means[row])
        if self.visits and not places.all_first:
            for mean, row in zip(self.means, means[:, places.which.number > 1], strict=True):
                mean.extend(row)
        if self.views is not None and not places.all_first:
            self.views.add_returning(means, places)
        if counts is None and places.all_first:
            self.traffic.add_single(total, squares, sums.shape[1])
        else:
            ones = np.ones(sums.shape[1], dtype=np.int64)
            self.traffic.add_clusters(sums[0], ones if counts is None else counts, places.which.number)
        return means

    def to_state(self) -> dict[str, Any]:
        """All of it, as JSON values."""
        return {
            "means": [mean.to_state() for mean in self.means],
            "newest": [watcher.to_state() for _, watcher in self.newest],
            "views": None if self.views is None else self.views.to_state(),
            "traffic": self.traffic.to_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave, before any pair; the histograms stay the same objects."""
        for mean, counted in zip(self.means, state["means"], strict=True):
            mean.merge(HistBet.from_state(counted))
        for (_, watcher), newest in zip(self.newest, state["newest"], strict=True):
            watcher.restore(newest)
        if self.views is not None:
            self.views.restore(state["views"])
        self.traffic.restore(state["traffic"])


def without_gain(values: FloatArray, scores: Scores) -> FloatArray:
    """Values of which larger is better, without gains where none is proven."""
    return values if scores.no_gain is None else np.where(scores.no_gain, np.minimum(values, 0.0), values)


class Difference(Variable):
    """Candidate - incumbent of a metric with a range, oriented so that larger is better, as a share of the range.

    Without `credit` it counts no gain where none is proven (`Scores.no_gain`).
    """

    def __init__(self, scale: Scale, *, credit: bool = True) -> None:
        super().__init__(scale)
        self.credit = credit

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score."""
        low, high = self.scale.span()
        share = (scores.candidate - scores.incumbent) * (self.scale.sign / (high - low))
        return (share if self.credit else without_gain(share, scores))[np.newaxis], scores.both


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


class Level(Variable):
    """The candidate's own value, as a share of the way from `low` to `high`."""

    lo = 0.0

    def __init__(self, scale: Scale, low: float, high: float) -> None:
        super().__init__(scale)
        self.low, self.high = low, high
        self.cut = Cut()

    def value(self, part: float) -> float:
        """The value of which X is `part`."""
        return self.low + part * (self.high - self.low)

    def measure(self, scores: Scores) -> Measured:
        """Where the candidate has a score."""
        if not self.scale.bounded:
            own = scores.candidate[scores.candidate_scored]
            beyond = own[(own < self.low) | (own > self.high)]
            self.cut.count(np.zeros(0), beyond, 0.0)
        part = np.clip((scores.candidate - self.low) / (self.high - self.low), self.lo, self.hi)
        return part[np.newaxis], scores.candidate_scored

    def to_state(self) -> dict[str, Any]:
        """The evidence, and how often a value was beyond what counts."""
        return super().to_state() | {"cut": self.cut.to_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        super().restore(state)
        self.cut.restore(state["cut"])
