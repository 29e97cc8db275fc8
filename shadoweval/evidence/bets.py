"""The bets: one mixture of constant betting fractions, fixed in advance and shared by every e-value here.

A bet that never changes is less clever than one that learns, and that is its strength: wealth then depends only
on the histogram of what was seen (any order, merged by addition), and the claim stays true about the running
average under drift.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, finite

__all__ = [
    "FRACTIONS",
    "LOG_WEIGHTS",
    "Side",
    "discordant_log_e",
    "growth_table",
    "log_mixture",
    "mixture_log_e",
    "outermost_rejected",
    "rejected_part",
]

Side: TypeAlias = Literal["greater", "less"]

FRACTIONS: Final[FloatArray] = np.geomspace(0.005, 0.95, 20)
"""Share of the wealth that each of the 20 bettors stakes, every time."""

_PRIOR: Final[FloatArray] = np.exp(-0.5 * np.log(FRACTIONS / 0.3) ** 2)
LOG_WEIGHTS: Final[FloatArray] = np.log(_PRIOR / _PRIOR.sum())
"""Log share of the starting wealth per bettor: log-normal around 0.3 with deviation 1."""

FRACTIONS.setflags(write=False)
LOG_WEIGHTS.setflags(write=False)

_GAIN, _LOSS = np.log1p(FRACTIONS), np.log1p(-FRACTIONS)
_KEPT: Final[FloatArray] = 1 - FRACTIONS
_TOLERANCE: Final = 1e-7
_SMALLEST: Final = 1e-9
_MOST_STEPS: Final = 100


def log_mixture(log_wealth: FloatArray) -> FloatArray:
    """Log of the mixed wealth, over the last axis (20 bettors), without overflow."""
    terms = log_wealth + LOG_WEIGHTS
    top = terms.max(axis=-1)
    return top + np.log(np.exp(terms - top[..., np.newaxis]).sum(axis=-1))


def _log_mixture_of_one(log_wealth: FloatArray) -> float:
    """As `log_mixture` of 20 bettors alone: for so few, arrays cost more than they save."""
    terms: list[float] = (log_wealth + LOG_WEIGHTS).tolist()
    top = max(terms)
    return top + math.log(math.fsum([math.exp(term - top) for term in terms]))


def _log_stakes(relative: FloatArray) -> FloatArray:
    """Log growth of each bettor, shape (..., 20), for scores given as a multiple (>= 0) of what the null allows."""
    return np.log1p((relative[..., np.newaxis] - 1) * FRACTIONS)


@lru_cache(maxsize=64)
def growth_table(margin: float, side: Side, *, lo: float, hi: float, bins: int) -> FloatArray:
    """Log growth of each bettor at each node of the score grid, shape (bins + 1, 20), read-only.

    Args:
        margin: The mean that the null hypothesis allows at most (`greater`) or at least (`less`).
        side: `greater` bets that the mean is above the margin, `less` that it is below.
        lo: Smallest possible score.
        hi: Largest possible score.
        bins: Number of intervals between the nodes.
    """
    nodes = np.linspace(lo, hi, bins + 1)
    if side == "greater" and lo < margin <= hi:
        relative = (nodes - lo) / (margin - lo)
    elif side == "less" and lo <= margin < hi:
        relative = (hi - nodes) / (hi - margin)
    else:
        raise StatsInputError(
            f"Cannot test whether a mean in [{lo}, {hi}] is {side!r} than {margin!r}: use 'greater' with a margin "
            f"above {lo}, or 'less' with a margin below {hi}, both inside the range."
        )
    table = _log_stakes(relative)
    table.setflags(write=False)
    return table


def mixture_log_e(counts: FloatArray, margin: float, side: Side, *, lo: float, hi: float) -> float:
    """Log e-value of a histogram: counts per node of the even grid from lo to hi."""
    return float(log_mixture(counts @ growth_table(float(margin), side, lo=lo, hi=hi, bins=len(counts) - 1)))


def discordant_log_e(more: Floats, fewer: Floats) -> FloatArray:
    """Log evidence that differing pairs go one way more often than the other; arrays of counts, any shape.

    For pairs scored -1, 0 or 1 this is the histogram's e-value at margin 0, and McNemar's test as an e-process:
    among the pairs that differ, is a win a fair coin flip?
    """
    for_it, against = finite(more, "more"), finite(fewer, "fewer")
    return log_mixture(for_it[..., np.newaxis] * _GAIN + against[..., np.newaxis] * _LOSS)


def outermost_rejected(
    counts: FloatArray, distances: FloatArray, *, n: int, mean: float, deviation: float, alpha: float
) -> float:
    """How far from the end of the range the outermost margin lies that a histogram rejects at level alpha.

    Args:
        counts: Counts > 0, shape (m,).
        distances: Of their scores from the end of the range, >= 0, shape (m,).
        n: Scores altogether.
        mean: Mean distance, > 0.
        deviation: Standard deviation of the scores; for the first guess alone.
        alpha: Level.

    Returns:
        A distance in [0, mean], on the side that is rejected, to a relative 1e-7; 0: nothing is rejected.
    """
    needed = math.log(1 / alpha)
    wins = (distances / mean)[:, np.newaxis] * FRACTIONS

    def excess(part: float) -> float:
        if part >= 1:  # of the mean itself no bettor has grown (Jensen)
            return -math.sqrt(needed)
        # The root of the log wealth is nearly straight in the margin, so that few steps find the crossing.
        log_e = _log_mixture_of_one(counts @ np.log(wins / part + _KEPT))
        return math.sqrt(max(log_e, 0.0)) - math.sqrt(needed)

    guess = 1 - 1.5 * deviation * math.sqrt(2 * needed / n) / mean
    return rejected_part(excess, guess=guess) * mean


def rejected_part(excess: Callable[[float], float], *, guess: float) -> float:
    """The largest part in (0, 1] known to have excess >= 0, to the tolerance; 0 when there is none.

    Chandrupatla (1997), "A new hybrid quadratic/bisection algorithm": inverse quadratic interpolation where the curve
    allows it, else bisection.

    Args:
        excess: Falls from left to right on (0, 1], and is negative at 1.
        guess: Where the crossing may be; any number will do.
    """
    a, b = _SMALLEST, 1.0
    at_a, at_b = excess(a), excess(b)
    if at_a < 0:
        return 0.0
    if at_b >= 0:
        return b
    x = guess if a < guess < b else 0.5
    for _ in range(_MOST_STEPS):
        at_x = excess(x)
        # The crossing stays between a, the latest point, and b; c is the point that was let go.
        if (at_x >= 0) == (at_a >= 0):
            c, at_c = a, at_a
        else:
            c, at_c, b, at_b = b, at_b, a, at_a
        a, at_a = x, at_x
        width = abs(b - a)
        if width <= _TOLERANCE:
            break
        part, xi, phi = 0.5, (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
        if phi * phi < xi and (1 - phi) ** 2 < 1 - xi:
            part = at_a / (at_b - at_a) * at_c / (at_b - at_c)
            part += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
        edge = 0.5 * _TOLERANCE / width
        x = a + min(max(part, edge), 1 - edge) * (b - a)
    return a if at_a >= 0 else b
