"""The mean over all pairs, what users meet, with an interval that knows that pairs of one unit are no strangers.

The sum over a cluster is one term of the mean; Var = (A - 2 m B + m^2 C) / n^2 * G / (G - 1) with A, B and C the sums
of S^2, S n and n^2 over clusters (linearisation of a ratio of means: Liang and Zeger 1986). The k-th cluster of a unit
counts 2 k - 1 times: (S_1 + ... + S_k)^2 <= k (S_1^2 + ... + S_k^2), so that units that are always alike, the worst
case, have their full weight without a sum kept for each of them. The interval is an asymptotic confidence sequence
over G units (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, arXiv 2103.06476).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from shadoweval.evidence.inputs import FloatArray, IntArray
from shadoweval.evidence.ratios import mixture_radius

__all__ = ["TrafficMean"]

_FEWEST: Final = 50


class TrafficMean:
    """Mean of a variable in [lo, hi] over all pairs, from a handful of sums in any order."""

    __slots__ = ("_moments", "clustered", "hi", "lo", "n", "total", "units")

    def __init__(self, lo: float, hi: float) -> None:
        self.lo, self.hi = lo, hi
        self.n, self.units, self.total = 0, 0, 0.0
        self._moments = np.zeros(4)
        """A, B, C, and the pairs of complete clusters."""
        self.clustered = False
        """Whether some unit has brought more than one pair."""

    @property
    def mean(self) -> float:
        """Over all pairs; 0 where there are none."""
        return self.total / self.n if self.n else 0.0

    def add_pairs(self, values: FloatArray) -> None:
        """Count pairs, shape (n,)."""
        self.n += values.size
        self.total += float(values.sum())

    def add_clusters(self, sums: FloatArray, counts: IntArray, number: IntArray) -> None:
        """Count complete clusters of these pairs: sums of X, over how many pairs, and each's generation; shape (m,)."""
        weight = 2.0 * number - 1
        self._moments += [weight @ (sums * sums), weight @ (sums * counts), weight @ (counts * counts), counts.sum()]
        self.units += int((number == 1).sum())
        self.clustered = self.clustered or bool((number > 1).any() or (counts > 1).any())

    def add_single(self, total: float, squares: float, n: int) -> None:
        """Count n clusters of one pair, the first ones of their units: the sums of X and of its squares."""
        self._moments += [squares, total, n, n]
        self.units += n

    def bounds(self, below: float, above: float) -> tuple[float, float]:
        """One-sided bounds at these levels; the ends of the range while fewer than 50 units are complete."""
        if self.units < _FEWEST:
            return self.lo, self.hi
        a, b, c, n = self._moments
        spread = max(a - 2 * self.mean * b + self.mean**2 * c, 0.0) / n**2 * self.units / (self.units - 1)
        term = math.sqrt(spread * self.units)
        lower, upper = (mixture_radius(self.units, 2 * alpha) * term for alpha in (below, above))
        return max(self.mean - lower, self.lo), min(self.mean + upper, self.hi)

    def widened(self, lower: float, upper: float, *, below: float, above: float) -> tuple[float, float]:
        """Bounds that hold the traffic's at these levels as well, where some unit has brought several pairs.

        The traffic's own would be too sure where all values are alike.
        """
        if not self.clustered:
            return lower, upper
        own = self.bounds(below, above)
        return min(lower, own[0]), max(upper, own[1])

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "n": self.n,
            "units": self.units,
            "total": self.total,
            "moments": self._moments.tolist(),
            "clustered": self.clustered,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.n, self.units, self.total = state["n"], state["units"], state["total"]
        self._moments, self.clustered = np.array(state["moments"]), state["clustered"]
