"""Is the candidate slower? Both arms against the incumbent's quantiles, pair by pair.

With tau the incumbent's q-quantile as known before the pair, both arms are asked whether they exceed it, the
candidate with a margin: X = 1{candidate > ratio * tau} - 1{incumbent > tau}. A candidate that exceeds no more often
has mean X at most 0, so that pairs that differ are coin flips at worst. Timeouts count as their limit; that is exact
while the limit is above ratio * tau.

The mean of the e-values over five quantiles tests whether the candidate is slower anywhere (stochastic order). It
finds a broad slow-down many times sooner than any one quantile does, or than the unpaired methods of Howard and
Ramdas (arXiv 1906.09712) and Lindon, Sanden and Shirikian (arXiv 2205.14762).
"""

import math
from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.discordant import discordant_log_e
from shadoweval.evidence.inputs import FloatArray, Floats, IntArray, StatsInputError
from shadoweval.evidence.multiplicity import mean_log_e
from shadoweval.evidence.packing import State, field, numbers
from shadoweval.evidence.thresholds import PredictableQuantiles, ThresholdedPairs

__all__ = ["ORDER_LEVELS", "PairedExceedance"]

ORDER_LEVELS: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
"""The quantiles over which the stochastic-order alarm averages."""


class PairedExceedance(ThresholdedPairs):
    """Evidence that the candidate exceeds the incumbent's quantiles more, or no more, often than the incumbent.

    Pairs come in query order. Merging two streams adds their evidence; each was judged by its own thresholds.

    Args:
        levels: Quantiles of the incumbent to watch.
        ratio: The candidate may be this many times as slow; 1 asks for any slow-down.
        reference: Earlier incumbent latencies to take the first thresholds from.

    Raises:
        StatsInputError: A level or the ratio is out of range, or the reference is unusable.
    """

    __slots__ = ("_less", "_more", "ratio")

    def __init__(self, levels: Sequence[float] = ORDER_LEVELS, *, ratio: float = 1.0, reference: Floats = ()) -> None:
        super().__init__(levels, reference=reference)
        if not 0 < ratio < math.inf:
            raise StatsInputError(f"ratio must be a positive number, got {ratio!r}.")
        self.ratio = float(ratio)
        self._more: IntArray = np.zeros(len(self.levels), dtype=np.int64)
        self._less: IntArray = np.zeros(len(self.levels), dtype=np.int64)

    def _judge(self, incumbent: FloatArray, candidate: FloatArray, tau: FloatArray) -> None:
        slow = candidate[:, np.newaxis] > self.ratio * tau
        was_slow = incumbent[:, np.newaxis] > tau
        self._more += (slow & ~was_slow).sum(axis=0)
        self._less += (was_slow & ~slow).sum(axis=0)

    def counts(self, level: float) -> tuple[int, int]:
        """Pairs in which only the candidate, and in which only the incumbent, exceeded the threshold.

        Raises:
            StatsInputError: The level is not watched.
        """
        if level not in self.levels:
            raise StatsInputError(f"Quantile {level!r} is not watched. Watched are {self.levels}.")
        place = self.levels.index(level)
        return int(self._more[place]), int(self._less[place])

    def log_e(self, level: float, side: Side) -> float:
        """Log evidence that the candidate's quantile is `greater` (too slow) or `less` (fast enough) than allowed."""
        more, less = self.counts(level)
        if side == "less":
            more, less = less, more
        return float(discordant_log_e([more], [less])[0])

    def order_log_e(self) -> float:
        """Log evidence that the candidate is slower than allowed somewhere, as the mean over the watched quantiles."""
        return float(mean_log_e(discordant_log_e(self._more, self._less)))

    def merge(self, other: Self) -> Self:
        """Add the evidence of another stream, in place.

        Raises:
            StatsInputError: Levels or ratio differ.
        """
        if self.ratio != other.ratio:
            raise StatsInputError(f"Cannot merge evidence about ratio {other.ratio!r} into {self.ratio!r}.")
        self._merge_thresholds(other)
        self._more += other._more
        self._less += other._less
        return self

    def _fields(self) -> State:
        return {
            "ratio": self.ratio,
            "n": self.n,
            "more": self._more.tolist(),
            "less": self._less.tolist(),
            "thresholds": self._thresholds.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        thresholds = PredictableQuantiles.from_state(field(state, "thresholds", dict))
        made = cls(thresholds.levels, ratio=field(state, "ratio", float))
        made._thresholds = thresholds
        made.n = field(state, "n", int)
        made._more += numbers(state, "more", len(made.levels)).astype(np.int64)
        made._less += numbers(state, "less", len(made.levels)).astype(np.int64)
        return made
