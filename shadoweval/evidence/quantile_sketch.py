"""Quantiles of a stream, as known before each value: where they lie, and how far a value that ties with them is beyond.

Counts of values in bins 2 % wide, by the method of DDSketch (Masson, Rim, Lee 2019, arXiv 1908.10693); no history.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self

import numpy as np

from shadoweval.evidence.inputs import FloatArray, IntArray, StatsInputError, share
from shadoweval.evidence.states import Resumable, State, field, numbers, pack, unpack

__all__ = ["PARTS", "PredictableQuantiles", "QuantileSketch", "Threshold"]

WARMUP: Final = 50
"""Incumbents to see before the first threshold; until then no pair is judged."""

_GROWTH: Final = 1.15
_LOG_BASE: Final = math.log(1.02)
_SMALLEST: Final = 1e-9
_FAILED: Final = 100_000
"""The bin of failed runs, above all others."""
_LAST: Final = 30_000

PARTS: Final = 100
"""A tie counts in hundredths, which are the nodes of the histograms, so that their sums are exact."""


def _edge(bin_: int) -> float:
    """The upper end of a bin. No round number is one, so that rounding errors move nothing from bin to bin."""
    return math.inf if bin_ >= _FAILED else math.exp((min(bin_, _LAST) + 0.5) * _LOG_BASE)


def _bins(values: FloatArray) -> IntArray:
    bins = np.ceil(np.log(np.clip(values, _SMALLEST, 1e300)) / _LOG_BASE - 0.5).astype(np.int64)
    bins[np.isinf(values)] = _FAILED
    return bins


class Threshold(NamedTuple):
    """A quantile as a bin (low, high], and how far a value in it counts as beyond."""

    low: float
    high: float
    part: float

    def beyond(self, values: FloatArray, *, ratio: float = 1.0, shift: float = 0.0, below: bool = False) -> FloatArray:
        """1 beyond the bin, the part within it, else 0, of ratio times the bin plus the shift."""
        low, high = ratio * self.low + shift, ratio * self.high + shift
        out = values <= low if below else values > high
        return np.where((values > low) & (values <= high), self.part, out.astype(np.float64))


class QuantileSketch:
    """Counts of values >= 0 in bins 2 % wide, from which quantiles are read; no history.

    Method of DDSketch (Masson, Rim, Lee 2019, arXiv 1908.10693); values below 1e-9 count as 1e-9.
    """

    __slots__ = ("_counts", "n")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.n = 0

    def extend(self, values: FloatArray) -> None:
        """Count values >= 0; inf is a failed run."""
        if not values.size:
            return
        bins = _bins(values)
        lowest = int(bins.min())
        counts = np.bincount(bins - lowest)
        for place in np.flatnonzero(counts).tolist():
            self._counts[lowest + place] = self._counts.get(lowest + place, 0) + int(counts[place])
        self.n += values.size

    def _ranked(self, levels: Sequence[float]) -> tuple[list[int], IntArray, IntArray]:
        filled = sorted(self._counts)
        reached = np.cumsum([self._counts[bin_] for bin_ in filled])
        return filled, reached, np.searchsorted(reached, np.ceil(np.asarray(levels) * self.n - 1e-9))

    def quantiles(self, levels: Sequence[float]) -> FloatArray:
        """Values within 1 % of the empirical quantiles at the levels, which are in (0, 1); needs n >= 1."""
        filled, _, index = self._ranked(levels)
        bins = np.asarray(filled, dtype=np.float64)[index]
        return np.where(bins >= _FAILED, np.inf, np.exp(np.minimum(bins, _LAST) * _LOG_BASE))

    @property
    def fails(self) -> bool:
        """Whether there is a failed run."""
        return _FAILED in self._counts

    def beyond(self, value: float, *, below: bool) -> int:
        """How many lie beyond the bin of a value."""
        own = _bins(np.array([value]))[0]
        return sum(count for bin_, count in self._counts.items() if (bin_ < own if below else bin_ > own))

    def thresholds(self, levels: Sequence[float], *, below: bool) -> tuple[Threshold, ...]:
        """The bins of the quantiles; `below`: what is smaller lies beyond, level of them all, else 1 - level."""
        filled, reached, index = self._ranked(levels)
        made: list[Threshold] = []
        for level, place in zip(levels, index.tolist(), strict=True):
            own, upto = self._counts[filled[place]], int(reached[place])
            outside, tail = (upto - own, level) if below else (self.n - upto, 1 - level)
            part = round(min(max((tail * self.n - outside) / own, 0.0), 1.0) * PARTS) / PARTS
            made.append(Threshold(_edge(min(filled[place] - 1, _LAST)), _edge(filled[place]), part))
        return tuple(made)

    def to_state(self) -> State:
        """Bins and counts as JSON values."""
        filled = sorted(self._counts)
        counts = [self._counts[bin_] for bin_ in filled]
        return {
            "n": len(filled),
            "steps": pack(np.diff(np.array([0.0, *filled]))),
            "counts": pack(np.array(counts, float)),
        }

    @classmethod
    def from_state(cls, state: State) -> Self:
        """What `to_state` wrote."""
        size = field(state, "n", int)
        bins = np.cumsum(unpack(field(state, "steps", str), size)).astype(int).tolist()
        counts = unpack(field(state, "counts", str), size).astype(int).tolist()
        if min(counts, default=1) < 1:
            raise StatsInputError(f"Counts below one in this state: {counts}. It is damaged.")
        made = cls()
        made._counts = dict(zip(bins, counts, strict=True))
        made.n = sum(counts)
        return made


class PredictableQuantiles(Resumable):
    """Thresholds tau_t at fixed quantile levels, each from incumbents before t only.

    A threshold taken from the pairs that it judges would bend the test. These are refreshed when the number of
    incumbents seen reaches 50, 58, 67, ... (times 1.15), from everything before that moment, and stay put in between.

    Args:
        levels: Quantile levels in (0, 1).
        below: Whether what is smaller lies beyond.
    """

    __slots__ = ("_refresh_at", "below", "current", "levels", "sketch")

    def __init__(self, levels: Sequence[float], *, below: bool = False) -> None:
        if not levels:
            raise StatsInputError("Need at least one quantile level.")
        self.levels = tuple(share(level, "quantile level") for level in levels)
        self.below = below
        self.sketch = QuantileSketch()
        """All incumbents so far."""
        self.current: tuple[Threshold, ...] | None = None
        self._refresh_at = WARMUP

    def advance(self, incumbent: FloatArray) -> Iterator[tuple[slice, tuple[Threshold, ...] | None]]:
        """Take in incumbents in query order; yield stretches with the thresholds that hold for them.

        The stretches do not depend on how the incumbents are cut into calls. None: too few seen, judge nothing.
        """
        start = 0
        while start < incumbent.size:
            stop = min(incumbent.size, start + self._refresh_at - self.sketch.n)
            yield slice(start, stop), self.current
            self.sketch.extend(incumbent[start:stop])
            if self.sketch.n >= self._refresh_at:
                self.current = self.sketch.thresholds(self.levels, below=self.below)
                self._refresh_at = max(self.sketch.n + 1, math.ceil(self.sketch.n * _GROWTH))
            start = stop

    def _fields(self) -> State:
        return {
            "levels": list(self.levels),
            "below": int(self.below),
            "current": None if self.current is None else [_finite(each) for row in self.current for each in row],
            "refresh_at": self._refresh_at,
            "sketch": self.sketch.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        levels = numbers(state, "levels", len(field(state, "levels", list))).tolist()
        made = cls(levels, below=bool(field(state, "below", int)))
        made.sketch = QuantileSketch.from_state(field(state, "sketch", dict))
        made._refresh_at = field(state, "refresh_at", int)
        if state.get("current") is not None:
            rows = numbers(state, "current", 3 * len(levels)).reshape(-1, 3).tolist()
            made.current = tuple(Threshold(low, math.inf if high < 0 else high, part) for low, high, part in rows)
        return made


def _finite(value: float) -> float:
    """JSON has no infinity."""
    return -1.0 if math.isinf(value) else value
