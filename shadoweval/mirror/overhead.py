"""What mirroring costs the user: durations of mirrored calls against those of calls left alone at random.

Both go into histograms of 128 bins, five to the octave (a bin is 15 % wide), from 8 microseconds up. Histograms of many
processes add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2
from typing import Final

__all__ = ["BINS", "bin_from", "bin_name", "overhead", "quantile"]

BINS: Final = 128
_PER_OCTAVE: Final = 5
_OCTAVES_BELOW_ONE: Final = 17
_NAMES: Final = tuple(str(i) for i in range(BINS))
_FEW: Final = 100
_ROUNDING: Final = 1e-9


def bin_name(seconds: float) -> str:
    """Name of the bin that a duration falls in."""
    if seconds <= 0.0:
        return "0"
    index = int((log2(seconds) + _OCTAVES_BELOW_ONE) * _PER_OCTAVE)
    return _NAMES[min(max(index, 0), BINS - 1)]


def bin_from(index: int, *, ratio: float, seconds: float) -> int:
    """The first bin of which all durations are at least `ratio` times as long as a bin begins, and `seconds` more."""
    least = _edge(index) * ratio + seconds
    return min(ceil((log2(least) + _OCTAVES_BELOW_ONE) * _PER_OCTAVE - _ROUNDING), BINS)


def _edge(index: float) -> float:
    return 2.0 ** (index / _PER_OCTAVE - _OCTAVES_BELOW_ONE)


def quantile(bins: Mapping[str, int], share: float) -> float:
    """Seconds at a quantile, interpolated within its bin (on the logarithmic scale).

    Raises:
        ValueError: the histogram is empty.
    """
    counts = sorted((int(name), count) for name, count in bins.items() if count)
    whole = sum(count for _, count in counts)
    if not whole:
        raise ValueError("An empty histogram has no quantiles.")
    wanted, below = share * whole, 0
    for index, count in counts:
        if below + count >= wanted:
            return _edge(index + (wanted - below) / count)
        below += count
    return _edge(counts[-1][0] + 1)


def overhead(mirrored: Mapping[str, int], control: Mapping[str, int]) -> dict[str, float]:
    """Difference mirrored - control in seconds at p50, p95 and p99, and the number of both.

    Quantiles are left out where either side has fewer than 100 calls.
    """
    sizes = {"mirrored": float(sum(mirrored.values())), "control": float(sum(control.values()))}
    if min(sizes.values()) < _FEW:
        return sizes
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: quantile(mirrored, share) - quantile(control, share) for name, share in shares.items()} | sizes
