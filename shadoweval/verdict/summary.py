"""What people read of a metric over all pairs: means, quantiles, interval, noise floor, why scores are missing.

Gates decide on none of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import BoolArray, FloatArray
from shadoweval.evidence.looks import Looks
from shadoweval.evidence.ratios import mixture_radius
from shadoweval.evidence.states import pack_column, unpack_column
from shadoweval.evidence.variables import Difference, Variable
from shadoweval.protocols import Metric
from shadoweval.records import MetricSummary
from shadoweval.verdict.columns import ScoreColumns

__all__ = ["MetricCounts", "ProbeCount", "count_scores", "noise_floor", "summary_of"]

_KEPT: Final = 8_192
_FEWEST_RERUNS: Final = 50
_FEWEST_UNITS: Final = 20
_QUANTILES: Final = np.linspace(0, 1, 21)


class ThinnedSample:
    """Every value at first, then every second, fourth, ... so that at most 8192 are kept; no randomness."""

    def __init__(self) -> None:
        self.values: FloatArray = np.zeros(0)
        """Those that were kept, in query order."""
        self._stride = 1
        self.n = 0

    def extend(self, values: FloatArray) -> None:
        """Count values in query order."""
        while self.n + values.size > _KEPT * self._stride:
            self.values = self.values[::2]
            self._stride *= 2
        taken = values[-self.n % self._stride :: self._stride]
        self.values = np.concatenate([self.values, taken])
        self.n += values.size

    def quantile(self, level: float) -> float | None:
        """The quantile of what was kept; None where there is nothing."""
        return float(np.quantile(self.values, level)) if self.values.size else None

    def quantiles(self) -> tuple[float, ...]:
        """Quantiles 0, 5, ..., 100 %."""
        return tuple(np.quantile(self.values, _QUANTILES).tolist()) if self.values.size else ()

    def to_state(self) -> Mapping[str, Any]:
        """All of it as plain values."""
        return {"values": pack_column(self.values), "stride": self._stride, "n": self.n}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.values, self._stride, self.n = unpack_column(state["values"], np.float64), state["stride"], state["n"]


_COUNTS: Final = (
    "both",
    "only_incumbent",
    "only_candidate",
    "candidate_scored",
    "neither",
    "informative",
    "own_informative",
    "pairs",
    "drawn",
    "lowest_chance",
)


@dataclass(slots=True)
class MetricCounts:
    """One metric over all pairs, duplicates included."""

    incumbent: ThinnedSample = field(default_factory=ThinnedSample)
    candidate: ThinnedSample = field(default_factory=ThinnedSample)
    incumbent_sum: float = 0.0
    candidate_sum: float = 0.0
    both: int = 0
    only_incumbent: int = 0
    """Pairs in which the candidate alone has no score."""
    only_candidate: int = 0
    """Pairs in which the incumbent alone has none although it ran."""
    candidate_scored: int = 0
    neither: int = 0
    """Pairs in which no arm has a score although both ran."""
    informative: int = 0
    """Pairs without both scores for a reason that may lie in the answer."""
    own_informative: int = 0
    """Pairs without the candidate's score for such a reason."""
    pairs: int = 0
    drawn: int = 0
    """Pairs in which both arms have a score of their own; of the others in `both` it is known from these."""
    lowest_chance: float = 1.0
    """With which a pair was drawn for its score."""
    unscored: Counter[str] = field(default_factory=Counter[str])
    versions: set[str] = field(default_factory=set[str])

    def add(self, scores: ScoreColumns) -> None:
        """Count a batch."""
        both, made = scores.both, scores if scores.raw is None else scores.raw
        self.incumbent.extend(made.incumbent[made.both])
        self.candidate.extend(made.candidate[made.both])
        self.drawn += int(made.both.sum())
        if made.chance is not None and made.chance.size:
            self.lowest_chance = min(self.lowest_chance, float(made.chance.min()))
        self.incumbent_sum += float(scores.incumbent[both].sum())
        self.candidate_sum += float(scores.candidate[both].sum())
        self.both += int(both.sum())
        ran = np.ones(both.size, dtype=np.bool_) if scores.missing_by_design is None else ~scores.missing_by_design
        lacks = ~both
        self.only_incumbent += int((made.incumbent_scored & ~made.candidate_scored & lacks).sum())
        self.only_candidate += int((made.candidate_scored & ~made.incumbent_scored & lacks & ran).sum())
        self._count_missing(scores, made, ran)
        self.candidate_scored += int(scores.candidate_scored.sum())
        self.unscored.update(scores.unscored)
        self.versions |= scores.versions

    def _count_missing(self, scores: ScoreColumns, made: ScoreColumns, ran: BoolArray) -> None:
        """Where pairs are drawn, `scores` are weighed and `made` as they were made.

        One that was drawn and has no score speaks for 1 / chance pairs, and for whatever reason: what pulls a cheap
        score to the truth is then missing as often.
        """
        nothing = np.zeros(ran.size, dtype=np.bool_)
        incumbents, candidates = scores.uninformative or (nothing, nothing)
        self.pairs += ran.size
        self.neither += int((~scores.both & ~made.incumbent_scored & ~made.candidate_scored & ran).sum())
        if made.chance is not None:
            speaks_for, drawn = 1 / made.chance, made.chance < 1
            incumbents, candidates = incumbents & ~drawn, candidates & ~drawn
            lost = ~scores.both & ran & ~incumbents & ~candidates
            self.informative += round(float(speaks_for[lost].sum()))
            own = ~scores.candidate_scored & ran & ~candidates
            self.own_informative += round(float(speaks_for[own].sum()))
            return
        self.informative += int((~scores.both & ran & ~incumbents & ~candidates).sum())
        self.own_informative += int((~scores.candidate_scored & ~candidates).sum())

    def missing(self, *, compared: bool) -> dict[str, int]:
        """Pairs that lack a score, by what is lacking, as `GateResult.missing`; `compared`: both arms are asked for."""
        if not compared:
            lacking = self.pairs - self.candidate_scored
            counts = {"candidate": lacking, "may lie in the answer": self.own_informative}
            return counts | {"scored": self.candidate_scored} if lacking else {}
        lacking = self.neither + self.only_incumbent + self.only_candidate
        counts = {"both arms": self.neither, "candidate": self.only_incumbent, "incumbent": self.only_candidate}
        return counts | {"may lie in the answer": self.informative, "scored": self.both} if lacking else {}

    @property
    def means(self) -> tuple[float, float] | None:
        """Means of incumbent and candidate over the pairs in which both have a score."""
        return (self.incumbent_sum / self.both, self.candidate_sum / self.both) if self.both else None

    def to_state(self) -> Mapping[str, Any]:
        """All of it as plain values."""
        return {
            "incumbent": self.incumbent.to_state(),
            "candidate": self.candidate.to_state(),
            "sums": [self.incumbent_sum, self.candidate_sum],
            "counts": [getattr(self, name) for name in _COUNTS],
            "unscored": dict(self.unscored),
            "versions": sorted(self.versions),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.incumbent.restore(state["incumbent"])
        self.candidate.restore(state["candidate"])
        self.incumbent_sum, self.candidate_sum = state["sums"]
        for name, count in zip(_COUNTS, state["counts"], strict=True):
            setattr(self, name, count)
        self.unscored, self.versions = Counter(state["unscored"]), set(state["versions"])


def count_scores(counts: Mapping[str, MetricCounts], scores: Mapping[str, ScoreColumns]) -> None:
    """Count a batch, metric by metric."""
    for name, metric in counts.items():
        metric.add(scores[name])


def noise_floor(metric: Metric, noise: HistBet | None, *, alpha: float) -> float | None:
    """How far apart two runs of the incumbent may lie on average: differences within it are no change.

    None where that was not measured: too few re-runs, or none that differed, of which the bound would tell only how
    many they were.
    """
    if noise is None or noise.n < _FEWEST_RERUNS or metric.low is None or metric.high is None or not noise.variance > 0:
        return None
    lower, upper = noise.interval(alpha)
    return max(-lower, upper) * (metric.high - metric.low)


def _interval(
    counts: MetricCounts, contrast: Variable, *, looks: Looks, alpha: float
) -> tuple[float, float] | tuple[None, None]:
    """Where the mean difference lies, oriented, with a chance of at most alpha to be wrong at any look.

    Of metrics with a range it is exact. Of amounts it is an asymptotic confidence sequence over the pairs that were
    kept, with as many independent terms as there are units: as wide as if all pairs of a unit were alike.
    """
    if not contrast.mean.n:
        return None, None
    if isinstance(contrast, Difference):
        low, high = contrast.scale.span()
        lower, upper = (looks.bound(contrast.mean, alpha / 2, edge) for edge in ("lower", "upper"))
        lower, upper = contrast.traffic.widened(lower, upper, below=alpha / 2, above=alpha / 2)
        lower, upper = contrast.within_ends(lower, upper)
        return lower * (high - low), upper * (high - low)
    gaps = counts.candidate.values - counts.incumbent.values
    units = min(contrast.mean.n, gaps.size)
    if units < _FEWEST_UNITS or counts.means is None:
        return None, None
    middle = (counts.means[1] - counts.means[0]) * contrast.scale.sign
    radius = mixture_radius(units, alpha) * float(np.std(gaps, ddof=1))
    return middle - radius, middle + radius


def summary_of(
    metric: Metric,
    counts: MetricCounts,
    contrast: Variable,
    *,
    looks: Looks,
    alpha: float,
    floor: float | None,
    noise: HistBet | None = None,
) -> MetricSummary:
    """What people read of one metric; `floor` is its noise floor, `noise` the evidence on it."""
    means = counts.means
    lower, upper = _interval(counts, contrast, looks=looks, alpha=alpha)
    distribution = (counts.incumbent.quantiles(), counts.candidate.quantiles())
    cap = None if contrast.scale.bounded else metric.failure_scores
    failed = cap is not None and any(cap in quantiles[-1:] for quantiles in distribution)
    return MetricSummary(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        incumbent=None if means is None else means[0],
        candidate=None if means is None else means[1],
        difference=None if means is None else (means[1] - means[0]) * contrast.scale.sign,
        lower=lower,
        upper=upper,
        scored=counts.both,
        unscored=dict(counts.unscored),
        noise_floor=floor,
        distribution=distribution,
        unit=metric.unit,
        bounded=contrast.scale.bounded,
        of_pair=metric.of_pair,
        descriptive=metric.descriptive,
        missing=counts.missing(compared=True),
        reruns=0 if noise is None else noise.n,
        failed_as=cap if failed else None,
    )


@dataclass(slots=True)
class ProbeCount:
    """What probes of one metric came to; see `provable`."""

    eligible: int = 0
    """Pairs that could have been probed: the incumbent has a score."""
    tried: int = 0
    scored: int = 0
    """Pairs with a score for a probe."""
    worse: int = 0
    """Of those, pairs in which a probe scored worse than the incumbent."""
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Why probes have no score, a few of them."""

    def to_state(self) -> list[Any]:
        """All of it as plain values."""
        return [self.eligible, self.tried, self.scored, self.worse, self.reasons]

    @classmethod
    def restored(cls, state: list[Any]) -> ProbeCount:
        """What `to_state` gave, taken up."""
        return cls(*state)


@dataclass(slots=True)
class JudgeProbe:
    """What one probe of one judged metric came to; see `judges`."""

    tried: int = 0
    counted: int = 0
    """Pairs that tell something: both are scored, and not both at their worst; of those, where it passed."""
    fooled: int = 0
    reason: str = ""  # why one got no score
