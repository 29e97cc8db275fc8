"""Linear binning: a score between two nodes of the grid counts for both, in proportion to its nearness.

The log growth of a constant bet is concave in the score, so linear binning can only lower the wealth: the e-value stays
valid, and becomes a function of a histogram. It keeps sums exactly. Scores on a node, such as recall@k with k dividing
100 or any score in {-1, 0, 1}, lose nothing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from shadoweval.evidence.inputs import FloatArray

__all__ = ["SNAP", "place", "spread"]

SNAP: Final = 1e-10
"""A score this near to a node, in units of the node distance, is that node: it undoes float error, not data."""


def place(values: FloatArray, lo: float, *, scale: float) -> tuple[NDArray[np.intp], FloatArray]:
    """The node at or below each value, and the weight in [0, 1) of the node above.

    Args:
        values: Scores in range.
        lo: The first node.
        scale: Nodes per unit of score.
    """
    position = (values - lo) * scale
    node = (position + SNAP).astype(np.intp)
    above = position - node
    above[above <= SNAP] = 0.0
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
