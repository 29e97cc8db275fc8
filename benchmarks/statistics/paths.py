"""The evidence after each score of many streams, for simulations that look every time."""

import numpy as np

from shadoweval.evidence.bets import growth_table, log_mixture
from shadoweval.evidence.histbet import HistBet, place, spread


def log_e_path(values, margin: float, side, *, every: int = 1):
    """`HistBet.log_e(margin, side)` after every `every` scores in [-1, 1] of shape (..., n); shape (..., n // every).

    Log wealth is a sum over the scores, so that one running sum gives it at every look. That the last look is what
    `HistBet` says of the whole stream is checked in each call, for the first stream.
    """
    scores = np.asarray(values, dtype=np.float64)
    table = growth_table(float(margin), side, lo=-1.0, hi=1.0, bins=200)
    node, above = place(scores, -1.0, scale=100.0)
    if every > 1:
        path = log_mixture(_cumulative_counts(node, above, every=every) @ table)
    else:
        growth = table[node]
        if above.any():
            growth += above[..., np.newaxis] * (table[np.minimum(node + 1, 200)] - growth)
        path = log_mixture(np.cumsum(growth, axis=-2))
    first = scores.reshape(-1, scores.shape[-1])[0, : scores.shape[-1] // every * every]
    last = path.reshape(-1, path.shape[-1])[0, -1]
    if abs(HistBet.of(first).log_e(margin, side) - last) > 1e-6:
        raise AssertionError("the path has left the engine")
    return path


def _cumulative_counts(node, above, *, every: int):
    """The histogram at each look, shape (..., looks, 201)."""
    looks = node.shape[-1] // every
    seen = slice(looks * every)
    streams = np.prod(node.shape[:-1], dtype=np.int64)
    look = np.arange(streams)[:, np.newaxis] * looks + np.arange(looks * every) // every
    cell = look * 201 + node[..., seen].reshape(look.shape)
    counts = spread(cell.ravel(), above[..., seen].ravel(), nodes=int(streams) * looks * 201)
    return np.cumsum(counts.reshape(*node.shape[:-1], looks, 201), axis=-2)


def first_crossing(path, threshold: float):
    """Index of the first value at or above the threshold along the last axis; inf where there is none."""
    crossed = path >= threshold
    return np.where(crossed.any(axis=-1), crossed.argmax(axis=-1).astype(np.float64), np.inf)
