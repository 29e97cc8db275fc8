"""The evidence after each score, for charts of how it grew and for simulations that look every time."""

import numpy as np
from numpy.typing import NDArray

from shadoweval.evidence.bets import Side, growth_table, log_mixture
from shadoweval.evidence.binning import place, spread
from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, within

__all__ = ["first_crossing", "log_e_path"]


def log_e_path(
    values: Floats,
    margin: float,
    side: Side,
    *,
    lo: float = -1.0,
    hi: float = 1.0,
    bins: int = 200,
    every: int = 1,
) -> FloatArray:
    """`HistBet.log_e(margin, side)` after every `every` scores.

    Args:
        values: Scores in the order of their queries, shape (..., n); leading axes are separate streams.
        margin: What the mean is compared with.
        side: Whether to look for a mean `greater` or `less` than the margin.
        lo: Smallest possible score.
        hi: Largest possible score.
        bins: Intervals of the histogram.
        every: Scores between two looks. Each look takes memory, some 200 floats of it: for a chart of many scores
            choose it so that there are a few hundred looks.

    Returns:
        Shape (..., n // every).

    Raises:
        StatsInputError: A score is NaN or out of range, the margin or `every` is unusable.
    """
    scores = within(values, lo, hi, name="scores")
    if every < 1:
        raise StatsInputError(f"every must be at least 1, got {every!r}.")
    table = growth_table(float(margin), side, lo=lo, hi=hi, bins=bins)
    node, above = place(scores, lo, scale=bins / (hi - lo))
    if every > 1:
        return log_mixture(_cumulative_counts(node, above, nodes=bins + 1, every=every) @ table)
    growth = table[node]
    if above.any():
        growth += above[..., np.newaxis] * (table[np.minimum(node + 1, bins)] - growth)
    return log_mixture(np.cumsum(growth, axis=-2))


def _cumulative_counts(node: NDArray[np.intp], above: FloatArray, *, nodes: int, every: int) -> FloatArray:
    """The histogram at each look, shape (..., looks, nodes)."""
    looks = node.shape[-1] // every
    seen = slice(looks * every)
    streams = np.prod(node.shape[:-1], dtype=np.int64)
    look = np.arange(streams)[:, np.newaxis] * looks + np.arange(looks * every) // every
    cell = look * nodes + node[..., seen].reshape(look.shape)
    counts = spread(cell.ravel(), above[..., seen].ravel(), nodes=int(streams) * looks * nodes)
    return np.cumsum(counts.reshape(*node.shape[:-1], looks, nodes), axis=-2)


def first_crossing(path: FloatArray, threshold: float) -> FloatArray:
    """Index of the first value at or above the threshold along the last axis; inf where there is none."""
    crossed = path >= threshold
    return np.where(crossed.any(axis=-1), crossed.argmax(axis=-1).astype(np.float64), np.inf)
