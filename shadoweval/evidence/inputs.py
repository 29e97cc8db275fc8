"""What the statistics refuse to take, and how they say so."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shadoweval.errors import ShadowEvalError

__all__ = [
    "BoolArray",
    "FloatArray",
    "Floats",
    "IdArray",
    "IntArray",
    "Ints",
    "StatsInputError",
    "at_least",
    "finite",
    "paired",
    "share",
    "within",
]

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
IdArray: TypeAlias = NDArray[np.uint64]
BoolArray: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64] | NDArray[np.int64] | Sequence[float]
Ints: TypeAlias = NDArray[np.integer] | Sequence[int]


class StatsInputError(ShadowEvalError, ValueError):
    """An input for which the promised guarantee would not hold, refused rather than guessed at."""


def finite(values: Floats, name: str) -> FloatArray:
    """The values as float64, any shape."""
    array = np.asarray(values, dtype=np.float64)
    bad = ~np.isfinite(array)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise StatsInputError(
            f"{name} has {int(bad.sum())} values that are not finite, the first ({array.flat[first]!r}) at "
            f"{first}. Leave unscored items out and report how many there were."
        )
    return array


def within(values: Floats, lo: float, hi: float, *, name: str) -> FloatArray:
    """The values as float64, each in [lo, hi]."""
    array = finite(values, name)
    if array.size and (float(array.min()) < lo or float(array.max()) > hi):
        first = int(np.flatnonzero((array < lo) | (array > hi))[0])
        raise StatsInputError(
            f"{name} must lie in [{lo}, {hi}], but value {first} is {array.flat[first]!r}. Declare the true "
            f"range of the score, or rescale it: the guarantee rests on the range."
        )
    return array


def paired(first: Floats, second: Floats, names: tuple[str, str]) -> tuple[FloatArray, FloatArray]:
    """Two finite one-dimensional arrays of equal length."""
    a, b = finite(first, names[0]), finite(second, names[1])
    if a.ndim != 1 or a.shape != b.shape:
        raise StatsInputError(f"{names[0]} and {names[1]} must be pairs, but have shapes {a.shape} and {b.shape}.")
    return a, b


def share(value: float, name: str) -> float:
    """A number strictly between 0 and 1, such as a level or a quantile."""
    if not 0 < value < 1:
        raise StatsInputError(f"{name} must lie strictly between 0 and 1, got {value!r}.")
    return float(value)


def at_least(value: float, lowest: float, *, name: str) -> float:
    """A finite number not below `lowest`."""
    if not lowest <= value < float("inf"):
        raise StatsInputError(f"{name} must be a finite number of at least {lowest}, got {value!r}.")
    return value
