"""The incumbent's quantiles as known so far: thresholds for latency that never look ahead.

A threshold taken from the pairs that it judges would bend the test. These are refreshed when the number of
incumbents seen reaches 50, 58, 67, ... (times 1.15), from everything before that moment, and stay put in between.
How well they are estimated matters for power only: both arms are compared at the same threshold.
"""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Self

import numpy as np

from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, finite, paired, share
from shadoweval.evidence.packing import Resumable, State, field, numbers

__all__ = ["WARMUP", "PredictableQuantiles", "QuantileSketch", "ThresholdedPairs", "check_durations"]

WARMUP = 50
"""Incumbents to see before the first threshold; until then no pair is judged."""

_GROWTH = 1.15
_LOG_BASE = math.log(1.02)
_SMALLEST = 1e-9


def check_durations(values: Floats, name: str) -> FloatArray:
    """Durations or costs as a one-dimensional array.

    Raises:
        StatsInputError: One is negative or not finite.
    """
    array = finite(values, name).ravel()
    if array.size and float(array.min()) < 0:
        raise StatsInputError(
            f"{name} must not be negative, got {float(array.min())!r}. A timeout counts as its limit."
        )
    return array


class QuantileSketch:
    """Counts of positive values in bins 2 % wide, from which quantiles are read; mergeable, no history.

    Method of DDSketch (Masson, Rim, Lee 2019, arXiv 1908.10693); values below 1e-9 count as 1e-9.
    """

    __slots__ = ("_counts", "n")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.n = 0

    def extend(self, values: FloatArray) -> None:
        """Count values >= 0."""
        bins = np.ceil(np.log(np.maximum(values, _SMALLEST)) / _LOG_BASE).astype(np.int64)
        for place, count in zip(*np.unique(bins, return_counts=True), strict=True):
            self._counts[int(place)] = self._counts.get(int(place), 0) + int(count)
        self.n += values.size

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Values within 1 % of the empirical quantiles at the levels, which are in (0, 1); needs n >= 1."""
        places = sorted(self._counts)
        reached = np.cumsum([self._counts[place] for place in places])
        index = np.searchsorted(reached, np.ceil(np.asarray(levels) * self.n))
        # Bin k holds (1.02^(k-1), 1.02^k]; this value is within 1 % of both ends.
        return np.exp(np.asarray(places)[index] * _LOG_BASE) * 2 / (math.exp(_LOG_BASE) + 1)

    def merge(self, other: Self) -> None:
        """Add the counts of another sketch."""
        for place, count in other._counts.items():
            self._counts[place] = self._counts.get(place, 0) + count
        self.n += other.n

    def to_state(self) -> list[list[int]]:
        """Bins and counts as JSON values."""
        return [[place, self._counts[place]] for place in sorted(self._counts)]

    @classmethod
    def from_state(cls, rows: list[object]) -> Self:
        """What `to_state` wrote.

        Raises:
            StatsInputError: The rows are damaged.
        """
        made = cls()
        for row in rows:
            match row:
                case [int(place), int(count)] if count > 0:
                    made._counts[place] = count
                    made.n += count
                case _:
                    raise StatsInputError(f"{row!r} in this state is no [bin, count]. It is damaged.")
        return made


class PredictableQuantiles(Resumable):
    """Thresholds tau_t at fixed quantile levels, each from incumbents before t only.

    Args:
        levels: Quantile levels in (0, 1).
        reference: Earlier incumbent values to start from; some 500 make the first thresholds good.

    Raises:
        StatsInputError: A level is out of range, or a reference value is negative or not finite.
    """

    __slots__ = ("_refresh_at", "_sketch", "current", "levels")

    def __init__(self, levels: Sequence[float], *, reference: Floats = ()) -> None:
        if not levels:
            raise StatsInputError("Need at least one quantile level.")
        self.levels = tuple(share(level, "quantile level") for level in levels)
        self._sketch = QuantileSketch()
        self.current: FloatArray | None = None
        self._refresh_at = WARMUP
        self._sketch.extend(check_durations(reference, "reference"))
        self._refresh()

    def _refresh(self) -> None:
        if self._sketch.n >= self._refresh_at:
            self.current = self._sketch.quantiles(self.levels)
            self._refresh_at = max(self._sketch.n + 1, math.ceil(self._sketch.n * _GROWTH))

    def advance(self, incumbent: FloatArray) -> Iterator[tuple[slice, FloatArray | None]]:
        """Take in incumbents in query order; yield stretches with the thresholds that hold for them.

        The stretches do not depend on how the incumbents are cut into calls. None: too few seen, judge nothing.
        """
        start = 0
        while start < incumbent.size:
            stop = min(incumbent.size, start + self._refresh_at - self._sketch.n)
            yield slice(start, stop), self.current
            self._sketch.extend(incumbent[start:stop])
            self._refresh()
            start = stop

    def merge(self, other: Self) -> None:
        """Add what another one has seen.

        Raises:
            StatsInputError: The levels differ.
        """
        if self.levels != other.levels:
            raise StatsInputError(f"Cannot merge quantile levels {other.levels} into {self.levels}.")
        self._sketch.merge(other._sketch)
        self._refresh()

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


class ThresholdedPairs(Resumable):
    """Pairs of latencies, each judged by thresholds that stood before it; base of what the latency modules count.

    Args:
        levels: Quantiles of the incumbent to watch.
        reference: Earlier incumbent latencies to take the first thresholds from.

    Raises:
        StatsInputError: A level is out of range or the reference unusable.
    """

    __slots__ = ("_thresholds", "n")

    def __init__(self, levels: Sequence[float], *, reference: Floats = ()) -> None:
        self._thresholds = PredictableQuantiles(levels, reference=reference)
        self.n = 0

    @property
    def levels(self) -> tuple[float, ...]:
        """The watched quantile levels."""
        return self._thresholds.levels

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """The incumbent's quantiles as known now; None before enough incumbents were seen."""
        return None if self._thresholds.current is None else tuple(self._thresholds.current.tolist())

    def extend(self, incumbent: Floats, candidate: Floats) -> Self:
        """Count pairs of latencies (any unit, >= 0), in query order; those before the first threshold are not judged.

        Raises:
            StatsInputError: A latency is negative or not finite, or the lengths differ.
        """
        paired(incumbent, candidate, ("incumbent", "candidate"))
        ours, theirs = check_durations(candidate, "candidate"), check_durations(incumbent, "incumbent")
        for part, tau in self._thresholds.advance(theirs):
            if tau is not None:
                self._judge(theirs[part], ours[part], tau)
                self.n += part.stop - part.start
        return self

    def add(self, incumbent: float, candidate: float) -> None:
        """Count one pair of latencies."""
        self.extend([incumbent], [candidate])

    def _merge_thresholds(self, other: Self) -> None:
        self._thresholds.merge(other._thresholds)
        self.n += other.n

    @abstractmethod
    def _judge(self, incumbent: FloatArray, candidate: FloatArray, tau: FloatArray) -> None: ...
