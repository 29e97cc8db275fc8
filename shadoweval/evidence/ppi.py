"""A judge on every pair, people on some: prediction-powered means.

The judge may be biased in any way. People's labels Y correct its scores F: fixed-sample PPI++ for reports
(Angelopoulos, Duchi, Zrnic, arXiv 2311.01453), and for peeking an exact sequence that bets on
Z = w F + labelled / p * (Y - w F), whose mean is that of Y whenever each pair is labelled with known chance p.
Checked against ppi_py and truescore. Not part of a verdict: kept for judges whose scores people correct.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import Edge, HistBet
from shadoweval.evidence.inputs import BoolArray, FloatArray, Floats, StatsInputError, finite, paired, share, within
from shadoweval.evidence.states import Resumable, State, field, numbers

__all__ = ["PredictionPowered", "ppi_mean"]

FEWEST_LABELS = 100
"""Fewer labelled pairs make the fixed-sample interval too narrow."""

_BINS = 800
_FIRST_REFRESH, _GROWTH, _FEWEST_FOR_WEIGHT = 50, 1.15, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionPoweredMean:
    """A mean of labels that a judge helped to estimate.

    Attributes:
        mean: Estimate of the mean label.
        lower: Lower end of the interval.
        upper: Upper end of the interval.
        weight: How far the judge was trusted: 0 not at all, 1 fully.
        labels: Labelled pairs.
    """

    mean: float
    lower: float
    upper: float
    weight: float
    labels: int

    @property
    def trustworthy(self) -> bool:
        """Whether there are labels enough for the interval to cover as it says."""
        return self.labels >= FEWEST_LABELS


def ppi_mean(
    labels: Floats, judged: Floats, judged_only: Floats, *, alpha: float = 0.05, weight: float | None = None
) -> PredictionPoweredMean:
    """PPI++ interval of the mean label, for one look.

    Args:
        labels: People's scores (or differences) on the labelled pairs, shape (n,).
        judged: The judge's scores on the same pairs, shape (n,).
        judged_only: The judge's scores on the pairs without label, shape (N,).
        alpha: One minus the coverage.
        weight: Trust in the judge in [0, 1]; estimated without it.
    """
    y, f = paired(labels, judged, ("labels", "judged"))
    rest = finite(judged_only, "judged_only").ravel()
    if y.size < 2 or not rest.size:
        raise StatsInputError(
            f"Prediction-powered inference needs 2 labels and judged pairs beside them, got {y.size} and {rest.size}."
        )
    if weight is None:
        spread = (1 + y.size / rest.size) * float(np.concatenate([f, rest]).var(ddof=1))
        covariance = float(((y - y.mean()) * (f - f.mean())).mean())
        weight = min(max(covariance / spread, 0.0), 1.0) if spread > 0 else 0.0
    mean = weight * float(rest.mean()) + float((y - weight * f).mean())
    error = math.sqrt(weight**2 * float(rest.var()) / rest.size + float((y - weight * f).var()) / y.size)
    width = NormalDist().inv_cdf(1 - share(alpha, "alpha") / 2) * error
    return PredictionPoweredMean(mean=mean, lower=mean - width, upper=mean + width, weight=weight, labels=y.size)


class PredictionPowered(Resumable):
    """Anytime-valid evidence about the mean label in [-1, 1], helped by a judge.

    Args:
        labelled_share: The chance p, the same for each pair and decided by a hash, that a pair gets a label.
    """

    __slots__ = ("_evidence", "_moments", "_refresh_at", "labelled_share", "weight")

    def __init__(self, labelled_share: float) -> None:
        if not 0 < labelled_share <= 1:
            raise StatsInputError(f"labelled_share must lie in (0, 1], got {labelled_share!r}.")
        self.labelled_share = float(labelled_share)
        self.weight = 0.0
        self._refresh_at = _FIRST_REFRESH
        edge = max(1.0, 2 / self.labelled_share - 1)
        self._evidence = HistBet(-edge, edge, bins=_BINS)
        # Labelled: count, sum y, sum f, sum y f; all: sum f, sum f^2.
        self._moments = np.zeros(6)

    @property
    def n(self) -> int:
        """Pairs so far, labelled or not."""
        return self._evidence.n

    @property
    def labels(self) -> int:
        """Labelled pairs so far."""
        return int(self._moments[0])

    def extend(self, judged: Floats, labels: Floats, *, labelled: BoolArray) -> Self:
        """Count pairs in query order.

        Args:
            judged: The judge's scores in [-1, 1], shape (n,).
            labels: People's scores in [-1, 1], shape (n,); any finite number where there is none.
            labelled: Which pairs have a label, shape (n,).
        """
        f, y = paired(judged, labels, ("judged", "labels"))
        has = np.asarray(labelled, dtype=np.bool_)
        if has.shape != f.shape:
            raise StatsInputError(f"labelled must say yes or no for each of {f.size} pairs, got shape {has.shape}.")
        within(f, -1, 1, name="judged")
        y = within(np.where(has, y, 0.0), -1, 1, name="labels")
        start = 0
        while start < f.size:
            part = slice(start, min(f.size, start + self._refresh_at - self.n))
            self._count(f[part], y[part], has[part])
            start = part.stop
        return self

    def _count(self, f: FloatArray, y: FloatArray, has: BoolArray) -> None:
        trusted = self.weight * f
        scores = trusted + has / self.labelled_share * (y - trusted)
        self._evidence.extend(np.clip(scores, self._evidence.lo, self._evidence.hi))  # float error at the ends
        self._moments += [has.sum(), y[has].sum(), f[has].sum(), y[has] @ f[has], f.sum(), f @ f]
        if self.n >= self._refresh_at:
            self._refresh()

    def _refresh(self) -> None:
        """Take the weight from the past, so that later pairs can't bend it."""
        count, sum_y, sum_f, sum_yf, all_f, all_f2 = self._moments.tolist()
        self._refresh_at = max(self.n + 1, math.ceil(self.n * _GROWTH))
        if count < _FEWEST_FOR_WEIGHT:
            return
        variance = all_f2 / self.n - (all_f / self.n) ** 2
        covariance = sum_yf / count - sum_y * sum_f / count**2
        self.weight = min(max(covariance / variance, 0.0), 1.0) if variance > 1e-12 else 0.0

    def log_e(self, margin: float, side: Side) -> float:
        """Log evidence that the mean label is on that side of the margin, however biased the judge is."""
        return self._evidence.log_e(margin, side)

    def bound(self, alpha: float, edge: Edge) -> float:
        """One-sided confidence bound of the mean label."""
        return min(max(self._evidence.bound(alpha, edge), -1.0), 1.0)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided confidence sequence of the mean label."""
        return self.bound(alpha / 2, "lower"), self.bound(alpha / 2, "upper")

    def merge(self, other: Self) -> Self:
        """Add the pairs of another stream, in place."""
        self._evidence.merge(other._evidence)
        self._moments += other._moments
        self._refresh()
        return self

    def _fields(self) -> State:
        return {
            "labelled_share": self.labelled_share,
            "weight": self.weight,
            "refresh_at": self._refresh_at,
            "moments": self._moments.tolist(),
            "evidence": self._evidence.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls(field(state, "labelled_share", float))
        made._evidence.merge(HistBet.from_state(field(state, "evidence", dict)))
        made.weight, made._refresh_at = field(state, "weight", float), field(state, "refresh_at", int)
        made._moments[:] = numbers(state, "moments", made._moments.size)
        return made
