"""Is the mean of bounded scores beyond a margin, by one look at a sample of any size, however small?

With X in [lo, hi], one more score at the worst end, and weights drawn evenly from all splits of 1 (Dirichlet), the
p-value for "the mean is greater than m" is the chance that the weighted mean of the scores is at most m. For two values
this is the exact binomial test (Clopper and Pearson); with many scores it nears Student's t. A t test is wrong
where scores are skewed: twenty answers as good as ever say little about a loss that comes once in twenty.

Sources: Gaffke, "Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable"
(2005); Learned-Miller and Thomas (arXiv 1905.06208). Proven for two values; for more, no law is known that breaks it,
and the tests here look for one by enumerating all samples. Computed by a saddlepoint contour (Daniels 1954) to nine
digits, checked against scipy's binomial tail and against drawn weights.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from shadoweval.evidence.bets import Side, rejected_part
from shadoweval.evidence.histbet import Edge, HistBet
from shadoweval.evidence.inputs import FloatArray

__all__ = ["mean_bound", "mean_log_e_once"]

_FAR: Final = 12.0
_STEP: Final = 0.05
_NARROW: Final = 200


def mean_log_e_once(mean: HistBet, margin: float, side: Side, *, times: float = 1.0) -> float:
    """Log of 1 / p for "the mean is on this side of the margin", at least 0; 0 where there is no score.

    Args:
        mean: The scores.
        margin: What their mean is compared with.
        side: Of the margin.
        times: How often to count each, to see what more of the kind would show.
    """
    if not mean.n:
        return 0.0
    counts = mean.counts * times
    filled = counts > 0
    nodes = np.linspace(mean.lo, mean.hi, mean.bins + 1)[filled]
    gaps, worst = (nodes - margin, mean.lo - margin) if side == "greater" else (margin - nodes, margin - mean.hi)
    return _log_one_in(gaps, counts[filled], worst)


def mean_bound(mean: HistBet, alpha: float, edge: Edge) -> float:
    """One-sided confidence bound of the mean: the margin at which p is alpha; the end of the range without scores."""
    lower = edge == "lower"
    end = mean.lo if lower else mean.hi
    reach = (mean.mean - mean.lo if lower else mean.hi - mean.mean) if mean.n else 0.0
    if reach <= 0:
        return end
    side: Side = "greater" if lower else "less"
    sign = 1 if lower else -1
    needed = math.sqrt(math.log(1 / alpha))

    def excess(part: float) -> float:
        return math.sqrt(mean_log_e_once(mean, end + sign * part * reach, side)) - needed

    spread = math.sqrt(mean.variance) if mean.n > 1 else reach
    return end + sign * reach * rejected_part(excess, guess=1 - 1.7 * spread / math.sqrt(mean.n) / reach)


def _log_one_in(gaps: FloatArray, counts: FloatArray, worst: float) -> float:
    """-log P(sum of gaps times Gamma(counts) weights <= 0), with one weight more at the worst gap, which is below 0."""
    gaps, counts = np.append(gaps, worst), np.append(counts, 1.0)
    if gaps.max() <= 0:
        return 0.0
    log_p = _log_tail(gaps / -gaps.min(), counts)
    return max(-log_p, 0.0)


def _log_tail(gaps: FloatArray, counts: FloatArray) -> float:
    """Log P(Q <= 0) of Q = sum of gaps times gammas, the smallest gap being -1.

    P = 1/pi times the integral over y > 0 of Re(exp(K(z)) / -z), z = -s + iy, K(z) = -sum counts log(1 - gaps z), for
    any s in (0, 1); on the line through the least exp(K) / s nothing cancels, so that small tails are exact too.
    """
    s = _saddle(gaps, counts)
    curvature = float(counts @ (gaps / (1 + gaps * s)) ** 2) + 1 / s**2
    far = _FAR if counts.sum() < _NARROW else _FAR / 2
    v = np.arange(0.0, far + _STEP / 2, _STEP)
    y = np.sinh(v) / math.sqrt(curvature)
    z = -s + 1j * y
    top = -float(counts @ np.log1p(gaps * s))
    exponent = -(np.log1p(-np.multiply.outer(z, gaps)) @ counts) - top
    values = (np.exp(exponent) / -z).real * np.cosh(v)
    values[0] /= 2
    integral = float(values.sum()) * _STEP / math.sqrt(curvature) / math.pi
    return top + math.log(integral) if integral > 0 else top


def _saddle(gaps: FloatArray, counts: FloatArray) -> float:
    """Where exp(K(-s)) / s is least, in (0, 1); the derivative of its log rises."""
    low, high = 0.0, 1.0
    for _ in range(60):
        s = (low + high) / 2
        if -float(counts @ (gaps / (1 + gaps * s))) - 1 / s < 0:
            low = s
        else:
            high = s
    return (low + high) / 2
