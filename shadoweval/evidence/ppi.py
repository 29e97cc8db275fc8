"""A judge on every pair, people on some: prediction-powered means.

The judge may be biased in any way. People's labels Y correct its scores F: fixed-sample PPI++ for reports
(Angelopoulos, Duchi, Zrnic, arXiv 2311.01453), and for peeking an exact sequence that bets on
Z = w F + labelled / p * (Y - w F), whose mean is that of Y whenever each pair is labelled with known chance p.
Each pair may have a chance p of its own. Checked against ppi_py and truescore.
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

__all__ = ["BINS", "FEWEST_LABELS", "PredictionPowered", "Trust", "ppi_mean", "reach"]

FEWEST_LABELS = 100
"""Fewer labelled pairs make the fixed-sample interval too narrow."""

BINS = 800
"""Fine enough that a bettor loses little where Z reaches 99 times as far as the score: most of it lies near 0."""
_FIRST_REFRESH, _GROWTH, _FEWEST_FOR_WEIGHT, _TINY = 50, 1.15, 20, 1e-12


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


def reach(least_chance: float) -> float:
    """How far from 0 a Z of scores in [-1, 1] can lie, if each pair is drawn with at least this chance.

    |w F| <= 1 where it is not drawn, and |Y / p - w F (1 / p - 1)| <= 2 / p - 1 where it is.
    """
    return 2 / least_chance - 1


class Trust:
    """The weight w of a cheap score, learned from pairs that came before, and Z by it.

    Var(Z) = Var(Y) + E[(1 / p - 1) (Y - w F)^2], which is least at w = E[(1/p - 1) Y F] / E[(1/p - 1) F^2]. Both are
    summed over the drawn pairs, each counting 1 / p times. Whatever w is, the mean of Z is that of Y.
    """

    __slots__ = ("_moments", "_refresh_at", "n", "weight")

    def __init__(self) -> None:
        self.n, self.weight = 0, 0.0
        self._refresh_at = _FIRST_REFRESH
        self._moments = np.zeros(3)
        """Of the drawn pairs: how many, and both sums of the weight."""

    @property
    def drawn(self) -> int:
        """How many pairs have a score."""
        return int(self._moments[0])

    def weigh(self, scores: FloatArray, proxies: FloatArray, *, drawn: BoolArray, chance: FloatArray) -> FloatArray:
        """Z of pairs in query order, shape (arms, n); the weight is learned from the last arm minus the first.

        Args:
            scores: Shape (arms, n); any finite number where the pair was not drawn.
            proxies: Cheap scores, shape (arms, n).
            drawn: Which pairs have their scores, shape (n,).
            chance: With which each was drawn, shape (n,).
        """
        weighed = np.zeros(scores.shape)
        start = 0
        while start < drawn.size:
            part = slice(start, min(drawn.size, start + self._refresh_at - self.n))
            y, trusted = scores[:, part], self.weight * proxies[:, part]
            weighed[:, part] = np.where(drawn[part], trusted + (y - trusted) / chance[part], trusted)
            self._learn(y[:, drawn[part]], proxies[:, part][:, drawn[part]], chance[part][drawn[part]])
            self.n += part.stop - start
            if self.n >= self._refresh_at:
                self.refresh()
            start = part.stop
        return weighed

    def _learn(self, scores: FloatArray, proxies: FloatArray, chance: FloatArray) -> None:
        y, f = (rows[-1] - rows[0] if len(rows) > 1 else rows[0] for rows in (scores, proxies))
        share = (1 / chance - 1) / chance
        self._moments += [chance.size, share @ (y * f), share @ (f * f)]

    def refresh(self) -> None:
        """Take the weight from the past, so that later pairs can't bend it."""
        count, both, own = self._moments.tolist()
        self._refresh_at = max(self.n + 1, math.ceil(self.n * _GROWTH))
        if count >= _FEWEST_FOR_WEIGHT:
            self.weight = min(max(both / own, 0.0), 1.0) if own > _TINY else 0.0

    def merge(self, other: Self) -> None:
        """Add the pairs of another stream."""
        self.n += other.n
        self._moments += other._moments
        self.refresh()

    def to_state(self) -> State:
        """All of it, as JSON values."""
        return {
            "n": self.n,
            "weight": self.weight,
            "refresh_at": self._refresh_at,
            "moments": self._moments.tolist(),
        }

    def restore(self, state: State) -> None:
        """Take up, before any pair, what `to_state` gave."""
        self.n, self._refresh_at = field(state, "n", int), field(state, "refresh_at", int)
        self.weight = field(state, "weight", float)
        self._moments[:] = numbers(state, "moments", self._moments.size)


class PredictionPowered(Resumable):
    """Anytime-valid evidence about the mean label in [-1, 1], helped by a judge.

    Args:
        labelled_share: The least chance p, decided by a hash, that a pair gets a label.
    """

    __slots__ = ("_evidence", "_trust", "labelled_share")

    def __init__(self, labelled_share: float) -> None:
        if not 0 < labelled_share <= 1:
            raise StatsInputError(f"labelled_share must lie in (0, 1], got {labelled_share!r}.")
        self.labelled_share = float(labelled_share)
        self._trust = Trust()
        edge = reach(self.labelled_share)
        self._evidence = HistBet(-edge, edge, bins=BINS)

    @property
    def n(self) -> int:
        """Pairs so far, labelled or not."""
        return self._evidence.n

    @property
    def labels(self) -> int:
        """Labelled pairs so far."""
        return self._trust.drawn

    @property
    def weight(self) -> float:
        """How far the judge is trusted from the next pair on."""
        return self._trust.weight

    def extend(self, judged: Floats, labels: Floats, *, labelled: BoolArray, chance: Floats | None = None) -> Self:
        """Count pairs in query order.

        Args:
            judged: The judge's scores in [-1, 1], shape (n,).
            labels: People's scores in [-1, 1], shape (n,); any finite number where there is none.
            labelled: Which pairs have a label, shape (n,).
            chance: With which each pair was to get one, at least `labelled_share`, shape (n,); None: that share.
        """
        f, y = paired(judged, labels, ("judged", "labels"))
        has = np.asarray(labelled, dtype=np.bool_)
        if has.shape != f.shape:
            raise StatsInputError(f"labelled must say yes or no for each of {f.size} pairs, got shape {has.shape}.")
        within(f, -1, 1, name="judged")
        y = within(np.where(has, y, 0.0), -1, 1, name="labels")
        p = np.full(f.size, self.labelled_share) if chance is None else paired(chance, f, ("chance", "judged"))[0]
        within(p, self.labelled_share, 1, name="chance")
        (scores,) = self._trust.weigh(y[np.newaxis], f[np.newaxis], drawn=has, chance=p)
        self._evidence.extend(np.clip(scores, self._evidence.lo, self._evidence.hi))  # float error at the ends
        return self

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
        self._trust.merge(other._trust)
        return self

    def _fields(self) -> State:
        return {
            "labelled_share": self.labelled_share,
            "trust": self._trust.to_state(),
            "evidence": self._evidence.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls(field(state, "labelled_share", float))
        made._evidence.merge(HistBet.from_state(field(state, "evidence", dict)))
        made._trust.restore(field(state, "trust", dict))
        return made
