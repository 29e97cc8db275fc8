"""The bets: one mixture of constant betting fractions, fixed in advance and shared by every e-value here.

A bet that never changes is less clever than one that learns, and that is its strength: wealth then depends only
on the histogram of what was seen (any order, merged by addition), and the claim stays true about the running
average under drift.
"""

from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np

from shadoweval.evidence.inputs import FloatArray, StatsInputError

__all__ = ["FRACTIONS", "LOG_WEIGHTS", "Side", "growth_table", "log_mixture", "log_stakes"]

Side: TypeAlias = Literal["greater", "less"]

FRACTIONS: Final[FloatArray] = np.geomspace(0.005, 0.95, 20)
"""Share of the wealth that each of the 20 bettors stakes, every time."""

_PRIOR: Final[FloatArray] = np.exp(-0.5 * np.log(FRACTIONS / 0.3) ** 2)
LOG_WEIGHTS: Final[FloatArray] = np.log(_PRIOR / _PRIOR.sum())
"""Log share of the starting wealth per bettor: log-normal around 0.3 with deviation 1."""

FRACTIONS.setflags(write=False)
LOG_WEIGHTS.setflags(write=False)


def log_mixture(log_wealth: FloatArray) -> FloatArray:
    """Log of the mixed wealth, over the last axis (20 bettors), without overflow."""
    terms = log_wealth + LOG_WEIGHTS
    top = terms.max(axis=-1)
    return top + np.log(np.exp(terms - top[..., np.newaxis]).sum(axis=-1))


def log_stakes(relative: FloatArray) -> FloatArray:
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

    Raises:
        StatsInputError: The margin leaves nothing to bet against.
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
    table = log_stakes(relative)
    table.setflags(write=False)
    return table
