"""How many times as slow is the candidate at a quantile: a confidence sequence for the ratio.

The ratio rho is where P(candidate > rho * tau) = P(incumbent > tau), with tau the incumbent's q-quantile: the
ratio of the q-quantiles. Every bin edge of candidate / tau is tested as a ratio; the confidence set is what no test
rejects.
Checked against counting over the raw pairs.
"""

import math
from typing import Final, Self

import numpy as np

from shadoweval.stats.discordant import discordant_log_e
from shadoweval.stats.inputs import FloatArray, Floats, StatsInputError, paired, share
from shadoweval.stats.packing import State, check_version, field, pack, unpack
from shadoweval.stats.thresholds import PredictableQuantiles, check_durations

_BINS: Final = 1024
_EDGES: Final[FloatArray] = np.geomspace(1 / 16, 16, _BINS + 1)


class QuantileRatio:
    """Confidence sequence for the ratio of the arms' q-quantiles, resolved to 0.5 % between 1/16 and 16.

    Pairs come in query order; streams merge by addition.

    Args:
        level: The quantile q.
        reference: Earlier incumbent latencies to take the first threshold from.

    Raises:
        StatsInputError: The level is out of range or the reference unusable.
    """

    __slots__ = ("_fast", "_slow", "_thresholds", "n")

    def __init__(self, level: float, *, reference: Floats = ()) -> None:
        self._thresholds = PredictableQuantiles((level,), reference=reference)
        # Counts of candidate / tau per bin, by whether the incumbent exceeded tau.
        self._slow: FloatArray = np.zeros(_BINS + 2)
        self._fast: FloatArray = np.zeros(_BINS + 2)
        self.n = 0

    @property
    def level(self) -> float:
        """The quantile q."""
        return self._thresholds.levels[0]

    def extend(self, incumbent: Floats, candidate: Floats) -> Self:
        """Count pairs of latencies (any unit, >= 0), in query order.

        Raises:
            StatsInputError: A latency is negative or not finite, or the lengths differ.
        """
        paired(incumbent, candidate, ("incumbent", "candidate"))
        ours, theirs = check_durations(candidate, "candidate"), check_durations(incumbent, "incumbent")
        for part, tau in self._thresholds.advance(theirs):
            if tau is None:
                continue
            cell = np.searchsorted(_EDGES, ours[part] / tau[0], side="left")
            was_slow = theirs[part] > tau[0]
            self._slow += np.bincount(cell[was_slow], minlength=_BINS + 2)
            self._fast += np.bincount(cell[~was_slow], minlength=_BINS + 2)
            self.n += cell.size
        return self

    def add(self, incumbent: float, candidate: float) -> None:
        """Count one pair of latencies."""
        self.extend([incumbent], [candidate])

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
        self._thresholds.merge(other._thresholds)
        self._slow += other._slow
        self._fast += other._fast
        self.n += other.n
        return self

    def to_state(self) -> State:
        """All of it as JSON values."""
        return {
            "v": 1,
            "n": self.n,
            "slow": pack(self._slow),
            "fast": pack(self._fast),
            "thresholds": self._thresholds.to_state(),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """What `to_state` wrote.

        Raises:
            StatsInputError: The state is damaged.
        """
        check_version(state, 1)
        thresholds = PredictableQuantiles.from_state(field(state, "thresholds", dict))
        if len(thresholds.levels) != 1:
            raise StatsInputError(f"A ratio is about one quantile, but this state has {thresholds.levels}.")
        made = cls(thresholds.levels[0])
        made._thresholds = thresholds
        made._slow = unpack(field(state, "slow", str), _BINS + 2)
        made._fast = unpack(field(state, "fast", str), _BINS + 2)
        made.n = field(state, "n", int)
        return made
