"""The mean over all pairs with an error that knows about clusters: for displays weighted by query.

Var(mean) = sum over clusters of (S_g - n_g mean)^2 / n^2, times G / (G - 1) (Liang and Zeger 1986; CR1 as in Miller,
"Adding error bars to evals", arXiv 2411.00640), kept up with three sums. Checked against statsmodels.
"""

import math
from collections.abc import Hashable, Iterable
from typing import Self

from shadoweval.evidence.asymptotic import mixture_radius
from shadoweval.evidence.inputs import Floats, StatsInputError, finite
from shadoweval.evidence.packing import Resumable, State, field, numbers

__all__ = ["ClusterRobustMean"]

_FEWEST_CLUSTERS = 50


class ClusterRobustMean(Resumable):
    """Mean of clustered scores, its robust error, and how much the clustering costs; constant work per score.

    Memory grows with the clusters that may still get scores; `close` forgets those that will not.
    """

    __slots__ = ("_cross", "_open", "_pair_squares", "_sizes", "_squares", "_total", "clusters", "n")

    def __init__(self) -> None:
        self._open: dict[Hashable, tuple[float, int]] = {}
        self._squares = self._cross = 0.0  # sums over clusters of S_g^2 and S_g n_g
        self._sizes = 0  # sum over clusters of n_g^2
        self._total = self._pair_squares = 0.0
        self.n = self.clusters = 0

    def add(self, value: float, key: str | int) -> None:
        """Count one score of a cluster.

        Raises:
            StatsInputError: The score is not finite.
        """
        if not math.isfinite(value):
            finite([value], "score")
        self._grow(key, value, 1)
        self.n += 1
        self._total += value
        self._pair_squares += value * value

    def _grow(self, key: Hashable, sum_: float, size: int) -> None:
        before, count = self._open.get(key, (0.0, 0))
        self._squares += sum_ * (2 * before + sum_)
        self._cross += before * size + sum_ * (count + size)
        self._sizes += size * (2 * count + size)
        self.clusters += count == 0
        self._open[key] = (before + sum_, count + size)

    def extend(self, values: Floats, keys: Iterable[str | int]) -> Self:
        """Count scores with the cluster of each.

        Raises:
            StatsInputError: A score is not finite, or the lengths differ.
        """
        scores, names = finite(values, "values").ravel(), list(keys)
        if len(names) != scores.size:
            raise StatsInputError(f"{scores.size} scores need as many cluster keys, got {len(names)}.")
        for value, key in zip(scores.tolist(), names, strict=True):
            self.add(value, key)
        return self

    def close(self, keys: Iterable[str | int]) -> None:
        """Forget clusters that get no more scores; one seen again would count as new."""
        for key in keys:
            self._open.pop(key, None)

    @property
    def mean(self) -> float:
        """Mean over all scores.

        Raises:
            StatsInputError: There are none.
        """
        if not self.n:
            raise StatsInputError("No score yet, so there is no mean. Look at n first.")
        return self._total / self.n

    def standard_error(self, *, small_sample: bool = True) -> float:
        """Cluster-robust standard error of the mean (CR1, or CR0 without the small-sample factor).

        Raises:
            StatsInputError: There are fewer than two clusters.
        """
        if self.clusters < 2:
            raise StatsInputError(f"A robust error needs two clusters, there are {self.clusters}.")
        mean = self.mean
        variance = (self._squares - 2 * mean * self._cross + mean**2 * self._sizes) / self.n**2
        return math.sqrt(max(variance, 0.0) * (self.clusters / (self.clusters - 1) if small_sample else 1))

    def design_effect(self) -> float:
        """Robust variance of the mean over that of independent scores; 1 where no score varies."""
        independent = (self._pair_squares - self.n * self.mean**2) / (self.n - 1) / self.n
        return self.standard_error() ** 2 / independent if independent > 1e-15 else 1.0

    def effective_n(self) -> float:
        """Independent scores that would know the mean as well, at most n."""
        return self.n / max(self.design_effect(), 1.0)

    def interval(self, alpha: float, *, optimal_at: float = 500) -> tuple[float, float]:
        """Two-sided asymptotic confidence sequence, counting clusters as terms; unbounded below 50 clusters.

        Args:
            alpha: Chance that the mean ever leaves the sequence; a one-sided bound at a uses 2 * a.
            optimal_at: Number of clusters at which the sequence is tightest.
        """
        if self.clusters < _FEWEST_CLUSTERS:
            return -math.inf, math.inf
        radius = mixture_radius(self.clusters, alpha, optimal_at=optimal_at)
        width = self.standard_error() * math.sqrt(self.clusters) * radius
        return self.mean - width, self.mean + width

    def merge(self, other: Self) -> Self:
        """Add the scores of another one, in place; clusters open in both are joined."""
        shared = {key: entry for key, entry in other._open.items() if key in self._open}
        lone = other.clusters - len(shared)
        self._squares += other._squares - math.fsum(s * s for s, _ in shared.values())
        self._cross += other._cross - math.fsum(s * k for s, k in shared.values())
        self._sizes += other._sizes - sum(k * k for _, k in shared.values())
        for key, (sum_, size) in shared.items():
            self._grow(key, sum_, size)
        self._open |= {key: entry for key, entry in other._open.items() if key not in shared}
        self.clusters += lone
        self.n += other.n
        self._total += other._total
        self._pair_squares += other._pair_squares
        return self

    def _fields(self) -> State:
        return {
            "n": self.n,
            "clusters": self.clusters,
            "sums": [self._squares, self._cross, float(self._sizes), self._total, self._pair_squares],
            "open": [[key, sum_, size] for key, (sum_, size) in self._open.items()],
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls()
        made.n, made.clusters = field(state, "n", int), field(state, "clusters", int)
        made._squares, made._cross, sizes, made._total, made._pair_squares = numbers(state, "sums", 5).tolist()
        made._sizes = int(sizes)
        for row in field(state, "open", list):
            match row:
                case [str() | int() as key, int() | float() as sum_, int() as size] if size > 0:
                    made._open[key] = (sum_, size)
                case _:
                    raise StatsInputError(f"{row!r} in this state is no [cluster, sum, size]. It is damaged.")
        return made
