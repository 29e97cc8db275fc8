"""How many times as slow is the candidate at a quantile: a confidence sequence for the ratio.

The ratio rho is where P(candidate > rho * tau) = P(incumbent > tau), with tau the incumbent's q-quantile: the
ratio of the q-quantiles. Every bin edge of candidate / tau is tested as a ratio; the confidence set is what no test
rejects.
Checked against counting over the raw pairs.
"""

import math
from typing import Final, Self

import numpy as np

from shadoweval.evidence.discordant import discordant_log_e
from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, share
from shadoweval.evidence.packing import State, field, pack, unpack
from shadoweval.evidence.thresholds import PredictableQuantiles, ThresholdedPairs

__all__ = ["QuantileRatio"]

_BINS: Final = 1024
_EDGES: Final[FloatArray] = np.geomspace(1 / 16, 16, _BINS + 1)


class QuantileRatio(ThresholdedPairs):
    """Confidence sequence for the ratio of the arms' q-quantiles, resolved to 0.5 % between 1/16 and 16.

    Pairs come in query order; streams merge by addition.

    Args:
        level: The quantile q.
        reference: Earlier incumbent latencies to take the first threshold from.

    Raises:
        StatsInputError: The level is out of range or the reference unusable.
    """

    __slots__ = ("_fast", "_slow")

    def __init__(self, level: float, *, reference: Floats = ()) -> None:
        super().__init__((level,), reference=reference)
        # Counts of candidate / tau per bin, by whether the incumbent exceeded tau.
        self._slow: FloatArray = np.zeros(_BINS + 2)
        self._fast: FloatArray = np.zeros(_BINS + 2)

    @property
    def level(self) -> float:
        """The quantile q."""
        return self.levels[0]

    def _judge(self, incumbent: FloatArray, candidate: FloatArray, tau: FloatArray) -> None:
        cell = np.searchsorted(_EDGES, candidate / tau[0], side="left")
        was_slow = incumbent > tau[0]
        self._slow += np.bincount(cell[was_slow], minlength=_BINS + 2)
        self._fast += np.bincount(cell[~was_slow], minlength=_BINS + 2)

    def interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided confidence sequence of the ratio; 0 or inf where nothing is excluded yet."""
        needed = math.log(2 / share(alpha, "alpha"))
        more = self._fast.sum() - np.cumsum(self._fast)[:-1]
        fewer = np.cumsum(self._slow)[:-1]
        above = np.flatnonzero(discordant_log_e(more, fewer) >= needed)
        below = np.flatnonzero(discordant_log_e(fewer, more) >= needed)
        return (float(_EDGES[above[-1]]) if above.size else 0.0, float(_EDGES[below[0]]) if below.size else math.inf)

    def merge(self, other: Self) -> Self:
        """Add the evidence of another stream, in place.

        Raises:
            StatsInputError: The levels differ.
        """
        self._merge_thresholds(other)
        self._slow += other._slow
        self._fast += other._fast
        return self

    def _fields(self) -> State:
        return {
            "n": self.n,
            "slow": pack(self._slow),
            "fast": pack(self._fast),
            "thresholds": self._thresholds.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        thresholds = PredictableQuantiles.from_state(field(state, "thresholds", dict))
        if len(thresholds.levels) != 1:
            raise StatsInputError(f"A ratio is about one quantile, but this state has {thresholds.levels}.")
        made = cls(thresholds.levels[0])
        made._thresholds = thresholds
        made._slow = unpack(field(state, "slow", str), _BINS + 2)
        made._fast = unpack(field(state, "fast", str), _BINS + 2)
        made.n = field(state, "n", int)
        return made
