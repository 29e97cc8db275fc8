"""Is the candidate beyond the incumbent's quantiles more often than the incumbent itself, and how many times as slow?

With tau the incumbent's q-quantile as known before the pair, both arms are asked whether they lie beyond it, the
candidate with an allowance: X = 1{candidate beyond ratio * tau + shift} - 1{incumbent beyond tau}. A candidate that
exceeds no more often has mean X at most 0, so that pairs that differ are coin flips at worst. Timeouts count as their
limit; that is exact while the limit is above ratio * tau.

Evidence on five quantiles at once tests whether the candidate is slower anywhere (stochastic order). It finds a broad
slow-down many times sooner than any one quantile does, or than the unpaired methods of Howard and Ramdas (arXiv
1906.09712) and Lindon, Sanden and Shirikian (arXiv 2205.14762). Checked against counting over the raw pairs.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

import numpy as np

from shadoweval.evidence.bets import discordant_log_e
from shadoweval.evidence.inputs import FloatArray, StatsInputError, share
from shadoweval.evidence.states import Resumable, State, field, numbers, pack, unpack
from shadoweval.evidence.variables import Measured, Scale, Scores, Variable

__all__ = ["ORDER_LEVELS", "Exceedances"]

ORDER_LEVELS: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
"""The quantiles over which the stochastic-order alarm averages."""

WARMUP: Final = 50
"""Incumbents to see before the first threshold; until then no pair is judged."""

_GROWTH: Final = 1.15
_LOG_BASE: Final = math.log(1.02)
_SMALLEST: Final = 1e-9
_BINS: Final = 1024
_EDGES: Final[FloatArray] = np.geomspace(1 / 16, 16, _BINS + 1)


class QuantileSketch:
    """Counts of positive values in bins 2 % wide, from which quantiles are read; no history.

    Method of DDSketch (Masson, Rim, Lee 2019, arXiv 1908.10693); values below 1e-9 count as 1e-9.
    """

    __slots__ = ("_counts", "n")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.n = 0

    def extend(self, values: FloatArray) -> None:
        """Count values >= 0."""
        bins = np.ceil(np.log(np.maximum(values, _SMALLEST)) / _LOG_BASE).astype(np.int64)
        for bin_, count in zip(*np.unique(bins, return_counts=True), strict=True):
            self._counts[int(bin_)] = self._counts.get(int(bin_), 0) + int(count)
        self.n += values.size

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Values within 1 % of the empirical quantiles at the levels, which are in (0, 1); needs n >= 1."""
        filled = sorted(self._counts)
        reached = np.cumsum([self._counts[bin_] for bin_ in filled])
        index = np.searchsorted(reached, np.ceil(np.asarray(levels) * self.n))
        # Bin k holds (1.02^(k-1), 1.02^k]; this value is within 1 % of both ends.
        return np.exp(np.asarray(filled)[index] * _LOG_BASE) * 2 / (math.exp(_LOG_BASE) + 1)

    def to_state(self) -> list[list[int]]:
        """Bins and counts as JSON values."""
        return [[bin_, self._counts[bin_]] for bin_ in sorted(self._counts)]

    @classmethod
    def from_state(cls, rows: list[object]) -> Self:
        """What `to_state` wrote."""
        made = cls()
        for row in rows:
            match row:
                case [int(bin_), int(count)] if count > 0:
                    made._counts[bin_] = count
                    made.n += count
                case _:
                    raise StatsInputError(f"{row!r} in this state is no [bin, count]. It is damaged.")
        return made


class PredictableQuantiles(Resumable):
    """Thresholds tau_t at fixed quantile levels, each from incumbents before t only.

    A threshold taken from the pairs that it judges would bend the test. These are refreshed when the number of
    incumbents seen reaches 50, 58, 67, ... (times 1.15), from everything before that moment, and stay put in between.
    How well they are estimated matters for power only: both arms are compared at the same threshold.

    Args:
        levels: Quantile levels in (0, 1).
    """

    __slots__ = ("_refresh_at", "_sketch", "current", "levels")

    def __init__(self, levels: Sequence[float]) -> None:
        if not levels:
            raise StatsInputError("Need at least one quantile level.")
        self.levels = tuple(share(level, "quantile level") for level in levels)
        self._sketch = QuantileSketch()
        self.current: FloatArray | None = None
        self._refresh_at = WARMUP

    def advance(self, incumbent: FloatArray) -> Iterator[tuple[slice, FloatArray | None]]:
        """Take in incumbents in query order; yield stretches with the thresholds that hold for them.

        The stretches do not depend on how the incumbents are cut into calls. None: too few seen, judge nothing.
        """
        start = 0
        while start < incumbent.size:
            stop = min(incumbent.size, start + self._refresh_at - self._sketch.n)
            yield slice(start, stop), self.current
            self._sketch.extend(incumbent[start:stop])
            if self._sketch.n >= self._refresh_at:
                self.current = self._sketch.quantiles(self.levels)
                self._refresh_at = max(self._sketch.n + 1, math.ceil(self._sketch.n * _GROWTH))
            start = stop

    def _fields(self) -> State:
        return {
            "levels": list(self.levels),
            "current": None if self.current is None else self.current.tolist(),
            "refresh_at": self._refresh_at,
            "sketch": self._sketch.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls(numbers(state, "levels", len(field(state, "levels", list))).tolist())
        made._sketch = QuantileSketch.from_state(field(state, "sketch", list))
        made._refresh_at = field(state, "refresh_at", int)
        if state.get("current") is not None:
            made.current = numbers(state, "current", len(made.levels))
        return made


class Exceedances(Variable):
    """X with the allowance at one quantile, then X without allowance at quantiles `watched`; both arms' amounts >= 0.

    "Beyond" is above where lower is better, else below. Beside the evidence it keeps counts for the ratio of the arms'
    quantiles: rho is where P(candidate > rho * tau) = P(incumbent > tau). Every bin edge of candidate / tau is tested
    as a ratio; the confidence set is what no test rejects, resolved to 0.5 % between 1/16 and 16.

    Args:
        scale: The metric's range and direction.
        level: The quantile q with the allowance.
        ratio: The candidate's bound, as a multiple of tau.
        shift: What is added to that.
        watched: Quantiles at which any slow-down counts.
    """

    def __init__(
        self, scale: Scale, level: float, *, watched: Sequence[float], ratio: float = 1.0, shift: float = 0.0
    ) -> None:
        super().__init__(scale, rows=1 + len(watched))
        self.level, self.ratio, self.shift = level, ratio, shift
        self._thresholds = PredictableQuantiles(tuple(dict.fromkeys((level, *watched))))
        indices = [self._thresholds.levels.index(each) for each in watched]
        self._rows = ((0, ratio, shift), *((index, 1.0, 0.0) for index in indices))
        # Counts of candidate / tau per bin, by whether the incumbent exceeded tau.
        self._slow: FloatArray = np.zeros(_BINS + 2)
        self._fast: FloatArray = np.zeros(_BINS + 2)

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score and the quantiles are known."""
        known = scores.both.copy()
        judged = np.flatnonzero(known)
        values = np.zeros((len(self._rows), known.size))
        incumbent, candidate = scores.incumbent[judged], scores.candidate[judged]
        for part, tau in self._thresholds.advance(incumbent):
            if tau is None:
                known[judged[part]] = False
                continue
            self._count_ratio(incumbent[part], candidate[part], float(tau[0]))
            for row, (index, ratio, shift) in enumerate(self._rows):
                own = float(tau[index])
                bound = ratio * own + shift
                if self.scale.higher_is_better:
                    bad, was_bad = candidate[part] < bound, incumbent[part] < own
                else:
                    bad, was_bad = candidate[part] > bound, incumbent[part] > own
                values[row, judged[part]] = bad.astype(np.float64) - was_bad
        return values, known

    def _count_ratio(self, incumbent: FloatArray, candidate: FloatArray, tau: float) -> None:
        cell = np.searchsorted(_EDGES, candidate / tau, side="left")
        was_slow = incumbent > tau
        self._slow += np.bincount(cell[was_slow], minlength=_BINS + 2)
        self._fast += np.bincount(cell[~was_slow], minlength=_BINS + 2)

    def ratio_interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided confidence sequence of the ratio of the q-quantiles; 0 or inf where nothing is excluded yet."""
        needed = math.log(2 / share(alpha, "alpha"))
        more = self._fast.sum() - np.cumsum(self._fast)[:-1]
        fewer = np.cumsum(self._slow)[:-1]
        above = np.flatnonzero(discordant_log_e(more, fewer) >= needed)
        below = np.flatnonzero(discordant_log_e(fewer, more) >= needed)
        return (float(_EDGES[above[-1]]) if above.size else 0.0, float(_EDGES[below[0]]) if below.size else math.inf)

    def to_state(self) -> dict[str, Any]:
        """Evidence, thresholds and counts."""
        return super().to_state() | {
            "slow": pack(self._slow),
            "fast": pack(self._fast),
            "thresholds": self._thresholds.to_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        super().restore(state)
        self._thresholds = PredictableQuantiles.from_state(state["thresholds"])
        self._slow, self._fast = unpack(state["slow"], _BINS + 2), unpack(state["fast"], _BINS + 2)
