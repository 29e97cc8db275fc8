"""Many histograms from one pass: the evidence of every slice of the traffic at once."""

import numpy as np
from numpy.typing import NDArray

from shadoweval.evidence.binning import place
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import Floats, StatsInputError, within

__all__ = ["histograms"]


def histograms(
    values: Floats,
    groups: NDArray[np.integer],
    n_groups: int,
    *,
    lo: float = -1.0,
    hi: float = 1.0,
    bins: int = 200,
) -> list[HistBet]:
    """One HistBet per group, equal to `HistBet.of` of the group's scores.

    Args:
        values: Scores, shape (n,).
        groups: Group of each score, 0 <= group < n_groups, negative for none; shape (n,), or (attributes, n) when
            each attribute sorts all the scores anew (its groups numbered after those of the attribute before).
        n_groups: How many groups there are; those without scores come back empty.
        lo: Smallest possible score.
        hi: Largest possible score.
        bins: Intervals of each histogram.

    Raises:
        StatsInputError: A score is NaN or out of range, or a group has no place.
    """
    scores = within(values, lo, hi, name="scores").ravel()
    codes = np.atleast_2d(np.asarray(groups))
    if codes.ndim != 2 or codes.shape[1] != scores.size or codes.dtype.kind not in "iu":
        raise StatsInputError(f"groups must be whole numbers for {scores.size} scores, got shape {codes.shape}.")
    if codes.size and int(codes.max()) >= n_groups:
        raise StatsInputError(f"Group {int(codes.max())} is not below n_groups={n_groups}.")
    nodes, step = bins + 1, (hi - lo) / bins
    node, above = place(scores, lo, scale=bins / (hi - lo))
    on_grid = not above.any()
    # Binning moves a score apart onto two nodes, which adds step^2 w (1 - w) to the sum of squares.
    excess = above * (1 - above)
    flat, variance = np.zeros(n_groups * nodes), np.zeros(n_groups)
    for row in codes:
        kept = row >= 0
        whole = bool(kept.all())
        group = row if whole else row[kept]
        cell = group * np.int64(nodes) + (node if whole else node[kept])
        flat += np.bincount(cell, minlength=flat.size)
        if not on_grid:
            moved = np.bincount(cell, above if whole else above[kept], flat.size)
            flat -= moved
            flat[1:] += moved[:-1]
            variance += np.bincount(group, excess if whole else excess[kept], n_groups)
    counts = flat.reshape(n_groups, nodes)
    squares = counts @ np.linspace(lo, hi, nodes) ** 2 - step**2 * variance
    return [
        HistBet.from_counts(counts[group], lo=lo, hi=hi, squares=float(squares[group])) for group in range(n_groups)
    ]
