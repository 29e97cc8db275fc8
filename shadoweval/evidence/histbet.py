"""HistBet: is the mean of a bounded score above or below a margin, however often one looks?

A bettor stakes the fraction f of its wealth on each score X in [lo, hi] against the null "the running mean of X is
at most m"; wealth multiplies by 1 - f + f (X - lo) / (m - lo). Under the null no bettor is expected to gain, so by
Ville's inequality wealth ever reaches 1 / alpha with probability at most alpha. `log_e` is the log wealth of twenty
bettors who started with fixed shares. Because no bet ever changes, wealth depends only on the histogram.

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting" (arXiv 2010.09686); Ryu
and Bhatt, "On confidence sequences for bounded random processes via universal gambling strategies" (arXiv
2207.12382); Ville (1939). Checked against 40-digit arithmetic over the raw scores, exact enumeration, and ville.
"""

import math
from collections.abc import Sequence
from typing import Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shadoweval.evidence.bets import Side, mixture_log_e, outermost_rejected
from shadoweval.evidence.inputs import FloatArray, Floats, Ints, StatsInputError, share, within
from shadoweval.evidence.states import Resumable, State, field, pack, unpack

__all__ = ["Edge", "HistBet", "count_groups", "place", "spread"]

Edge: TypeAlias = Literal["lower", "upper"]

_LARGEST_BINS: Final = 100_000
_MANY: Final = 1_000

_SNAP: Final = 1e-10
"""A score this near to a node, in units of the node distance, is that node: it undoes float error, not data."""


def place(values: FloatArray, lo: float, *, scale: float) -> tuple[NDArray[np.intp], FloatArray]:
    """Linear binning: the node at or below each value, and the weight in [0, 1) of the node above.

    A score between two nodes of the grid counts for both, in proportion to its nearness. The log growth of a constant
    bet is concave in the score, so this can only lower the wealth: the e-value stays valid, and becomes a function of a
    histogram. It keeps sums exactly. Scores on a node, such as recall@k with k dividing 100, lose nothing.

    Args:
        values: Scores in range.
        lo: The first node.
        scale: Nodes per unit of score.
    """
    position = (values - lo) * scale
    node = (position + _SNAP).astype(np.intp)
    above = position - node
    above[above <= _SNAP] = 0.0
    return node, above


def spread(node: NDArray[np.intp], above: FloatArray, *, nodes: int) -> FloatArray:
    """Counts per node, shape (nodes,), from what `place` returned.

    With N_k items at node k and W_k their summed weight above it, node k counts N_k - W_k + W_(k-1).
    """
    counts = np.bincount(node, minlength=nodes).astype(np.float64)
    if above.any():
        moved = np.bincount(node, above, nodes)
        counts -= moved
        counts[1:] += moved[:-1]
    return counts


class HistBet(Resumable):
    """Evidence about the mean of scores in [lo, hi], kept as one histogram.

    Order-free (any order of the same scores gives the same evidence), mergeable by addition (workers, shards, slices,
    days) and constant in time and memory per score. A margin need not be chosen in advance.

    Args:
        lo: Smallest possible score; the guarantee of `greater` and of the lower bound rests on it.
        hi: Largest possible score; the guarantee of `less` and of the upper bound rests on it.
        bins: Intervals of the histogram. 200 suit differences in [-1, 1]; skewed ranges such as money need thousands.
    """

    __slots__ = ("_counts", "_scale", "bins", "hi", "lo", "n", "squares", "total")

    def __init__(self, lo: float = -1.0, hi: float = 1.0, *, bins: int = 200) -> None:
        if not -math.inf < lo < hi < math.inf or not 1 <= bins <= _LARGEST_BINS:
            raise StatsInputError(
                f"A score needs finite lo < hi and 1 to {_LARGEST_BINS} bins, got [{lo!r}, {hi!r}], {bins!r}."
            )
        self.lo, self.hi, self.bins = float(lo), float(hi), int(bins)
        self._scale = bins / (self.hi - self.lo)
        self._counts: FloatArray = np.zeros(bins + 1)
        self.n, self.total, self.squares = 0, 0.0, 0.0

    @classmethod
    def of(cls, values: Floats, *, lo: float = -1.0, hi: float = 1.0, bins: int = 200) -> Self:
        """The evidence of an array of scores."""
        return cls(lo, hi, bins=bins).extend(values)

    @classmethod
    def from_counts(cls, counts: FloatArray, *, lo: float, hi: float, squares: float) -> Self:
        """The evidence whose histogram is already there: counts per node, and the sum of the squared scores."""
        made = cls(lo, hi, bins=len(counts) - 1)
        made._counts += counts  # its own copy
        made.n = round(float(counts.sum()))
        made.total = float(counts @ np.linspace(lo, hi, len(counts)))
        made.squares = squares
        return made

    @property
    def counts(self) -> FloatArray:
        """Count per node of the grid, shape (bins + 1,); a copy."""
        return self._counts.copy()

    @property
    def mean(self) -> float:
        """Mean of the scores."""
        if not self.n:
            raise StatsInputError("No score yet, so there is no mean. Look at n first.")
        return self.total / self.n

    @property
    def variance(self) -> float:
        """Sample variance of the scores (divisor n - 1)."""
        if self.n < 2:
            raise StatsInputError(f"A variance needs two scores, there are {self.n}. Look at n first.")
        return max(self.squares - self.n * self.mean**2, 0.0) / (self.n - 1)

    def extend(self, values: Floats) -> Self:
        """Count an array of scores, shape (n,), all or none of them."""
        scores = np.asarray(values, dtype=np.float64).ravel()
        if not scores.size:
            return self
        if not (self.lo <= float(scores.min()) and float(scores.max()) <= self.hi):  # false for NaN too
            within(scores, self.lo, self.hi, name="scores")
        if scores.size > _MANY and self.lo <= 0 <= self.hi:  # wins, losses and ties alone: counting them is faster
            kinds = list(dict.fromkeys((self.lo, 0.0, self.hi)))
            counted = np.array([float((scores == kind).sum()) for kind in kinds])
            if counted.sum() == scores.size:
                return self._extend_repeated(np.array(kinds), counted)
        node, above = place(scores, self.lo, scale=self._scale)
        self._counts += spread(node, above, nodes=self.bins + 1)
        self.n += scores.size
        self.total += float(scores.sum())
        self.squares += float(scores @ scores)
        return self

    def _extend_repeated(self, scores: FloatArray, repeats: FloatArray) -> Self:
        node, above = place(scores, self.lo, scale=self._scale)
        moved = np.bincount(node, above * repeats, self.bins + 1)
        self._counts += np.bincount(node, (1 - above) * repeats, self.bins + 1)
        self._counts[1:] += moved[:-1]
        self.n += int(repeats.sum())
        self.total += float(scores @ repeats)
        self.squares += float((scores * scores) @ repeats)
        return self

    def merge(self, other: Self) -> Self:
        """Add the evidence of other scores on the same grid, in place."""
        if (self.lo, self.hi, self.bins) != (other.lo, other.hi, other.bins):
            raise StatsInputError(f"Cannot merge {other!r} into {self!r}: range and bins must be equal.")
        self._counts += other._counts
        self.n += other.n
        self.total += other.total
        self.squares += other.squares
        return self

    def count(self, counts: FloatArray, *, n: int, total: float, squares: float) -> None:
        """Add counts per node, shape (bins + 1,), after which there are so many scores with such sums."""
        self._counts += counts
        self.n, self.total, self.squares = n, total, squares

    def coarser(self, bins: int) -> Self:
        """The evidence of the same scores on a grid of fewer intervals, of which each holds a whole number of these.

        As binning them anew would give it: shares of the nearest nodes are straight lines between nodes.
        """
        if bins == self.bins:
            return self
        if self.bins % bins:
            raise StatsInputError(f"{self.bins} bins can't be joined to {bins}.")
        each = self.bins // bins
        inner = self._counts[:-1].reshape(bins, each)
        above = np.arange(each) / each
        counts = np.append(inner @ (1 - above), self._counts[-1])
        counts[1:] += inner @ above
        made = self.from_counts(counts, lo=self.lo, hi=self.hi, squares=self.squares)
        made.n, made.total = self.n, self.total
        return made

    def log_e(self, margin: float, side: Side) -> float:
        """Log evidence that the mean is `greater` or `less` than the margin; reject at level a when >= ln(1 / a).

        Valid at any stopping time, for scores of any dependence whose running conditional mean obeys the null.
        """
        return mixture_log_e(self._counts, margin, side, lo=self.lo, hi=self.hi)

    def bound(self, alpha: float, edge: Edge) -> float:
        """One-sided confidence bound of the mean: the outermost margin that the evidence rejects at level alpha.

        Valid at any stopping time for a mean that stays; under drift it speaks of the running mean, one margin at
        a time. The end of the range when nothing is rejected.
        """
        if not 0 < alpha < 1:
            share(alpha, "alpha")
        lower = edge == "lower"
        filled = self._counts > 0
        nodes = np.linspace(self.lo, self.hi, self.bins + 1)[filled]
        distances = nodes - self.lo if lower else self.hi - nodes
        span = (self.total - self.n * self.lo if lower else self.n * self.hi - self.total) / max(self.n, 1)
        if span <= 0:
            return self.lo if lower else self.hi
        deviation = math.sqrt(max(self.squares / self.n - (self.total / self.n) ** 2, 1e-12))
        counts = self._counts[filled]
        reach = outermost_rejected(counts, distances, n=self.n, mean=span, deviation=deviation, alpha=alpha)
        return self.lo + reach if lower else self.hi - reach

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided confidence sequence at level alpha: both bounds at alpha / 2."""
        return self.bound(alpha / 2, "lower"), self.bound(alpha / 2, "upper")

    def _fields(self) -> State:
        return {
            "lo": self.lo,
            "hi": self.hi,
            "bins": self.bins,
            "n": self.n,
            "total": self.total,
            "squares": self.squares,
            "counts": pack(self._counts),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls(field(state, "lo", float), field(state, "hi", float), bins=field(state, "bins", int))
        counts = unpack(field(state, "counts", str), made.bins + 1)
        made.n, made.total = field(state, "n", int), field(state, "total", float)
        made.squares = field(state, "squares", float)
        sums_agree = abs(float(counts.sum()) - made.n) <= 1e-6 * max(made.n, 1)
        if (counts < 0).any() or not sums_agree or not math.isfinite(made.total + made.squares):
            raise StatsInputError(f"This state holds {counts.sum()} scores but says {made.n}. It is damaged.")
        made._counts += counts
        return made

    def __repr__(self) -> str:
        return f"HistBet(lo={self.lo!r}, hi={self.hi!r}, bins={self.bins!r}, n={self.n!r})"


def count_groups(values: Floats, groups: Ints, into: Sequence[Sequence[HistBet]]) -> None:
    """Count many scores for many histograms in one pass, as if each had been extended by its groups' scores alone.

    Args:
        values: Scores in range, shape (n,).
        groups: Group of each score, negative for none; shape (n,), or (attributes, n) when each attribute sorts all the
            scores anew (its groups numbered after those of the attribute before).
        into: By group, the histograms that its scores count for; all have the same grid.
    """
    grid = next((each for members in into for each in members), None)
    codes = np.atleast_2d(np.asarray(groups))
    scores = np.asarray(values, dtype=np.float64).ravel()
    if codes.ndim != 2 or codes.shape[1] != scores.size or codes.dtype.kind not in "iu":
        raise StatsInputError(f"groups must be whole numbers for {scores.size} scores, got shape {codes.shape}.")
    if codes.size and int(codes.max()) >= len(into):
        raise StatsInputError(f"Group {int(codes.max())} is not below the number of groups, {len(into)}.")
    if grid is None:
        return
    if scores.size and not (grid.lo <= float(scores.min()) and float(scores.max()) <= grid.hi):  # false for NaN too
        within(scores, grid.lo, grid.hi, name="scores")
    nodes, step = np.linspace(grid.lo, grid.hi, grid.bins + 1), (grid.hi - grid.lo) / grid.bins
    node, above = place(scores, grid.lo, scale=grid.bins / (grid.hi - grid.lo))
    # Binning moves a score apart onto two nodes, which adds step^2 w (1 - w) to the sum of squares.
    excess = above * (1 - above)
    flat, variance = np.zeros(len(into) * nodes.size), np.zeros(len(into))
    for row in codes:
        inside = row >= 0
        which = slice(None) if inside.all() else inside
        flat += spread(row[which] * np.int64(nodes.size) + node[which], above[which], nodes=flat.size)
        variance += np.bincount(row[which], excess[which], len(into))
    counts = flat.reshape(len(into), nodes.size)
    _add_groups(counts, counts @ nodes**2 - step**2 * variance, nodes=nodes, into=into)


def _add_groups(
    counts: FloatArray, squares: FloatArray, *, nodes: FloatArray, into: Sequence[Sequence[HistBet]]
) -> None:
    """Add each group's counts to its histograms: to each of these once, the sum over its groups."""
    present = np.flatnonzero(counts.any(axis=1))
    members = [into[group] for group in present.tolist()]
    flat = [each for some in members for each in some]
    if not flat:
        return
    _, first, which = np.unique(np.array([id(each) for each in flat]), return_index=True, return_inverse=True)
    group = np.repeat(np.arange(present.size), [len(some) for some in members])
    own, belongs = counts[present], np.zeros((first.size, present.size))
    np.add.at(belongs, (which, group), 1.0)
    each_group = np.stack([np.rint(own.sum(axis=1)), [row @ nodes for row in own], squares[present]], axis=1)
    distinct = [flat[at] for at in first.tolist()]
    sums = np.array([[each.n, each.total, each.squares] for each in distinct])
    np.add.at(sums, which, each_group[group])  # one after the other, as merged: means that are equal stay equal
    for each, added, (n, total, squared) in zip(distinct, belongs @ own, sums.tolist(), strict=True):
        each.count(added, n=int(n), total=total, squares=squared)
