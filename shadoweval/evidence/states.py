"""States as small JSON: arrays packed into text, fields read with their types checked."""

import base64
import binascii
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from shadoweval.evidence.inputs import FloatArray, StatsInputError

__all__ = ["Resumable", "State", "field", "numbers", "pack", "pack_column", "unpack", "unpack_column"]

State: TypeAlias = dict[str, object]
"""A JSON object; what is inside belongs to the class that wrote it."""

_VERSION: Final = 1

T = TypeVar("T", int, float, str, list[object], dict[str, object])


def pack(array: FloatArray) -> str:
    """The array's float64 bytes, compressed, as ASCII text; exact."""
    return base64.b85encode(zlib.compress(array.astype("<f8").tobytes(), 9)).decode("ascii")


def unpack(text: str, size: int) -> FloatArray:
    """The array that `pack` wrote, with exactly `size` finite values."""
    opener = zlib.decompressobj()
    try:  # never inflate more than was asked for, whatever the text claims
        raw = opener.decompress(base64.b85decode(text), 8 * size + 1)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise StatsInputError(f"The packed numbers of this state cannot be read ({error}).") from error
    if len(raw) != 8 * size:
        raise StatsInputError(f"This state should hold {size} numbers but holds {len(raw) / 8:g} or more.")
    array = np.frombuffer(raw, dtype="<f8").astype(np.float64)
    if not np.isfinite(array).all():
        raise StatsInputError("This state holds numbers that are not finite. It is damaged.")
    return array


def pack_column(column: NDArray[Any]) -> str:
    """The numbers of a column of any length, compressed, as ASCII text; exact, and fast for millions of rows.

    Bytes of one significance lie together, so that small whole numbers take next to nothing.
    """
    planes = column.ravel().view(np.uint8).reshape(-1, column.dtype.itemsize).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 1)).decode("ascii")


def unpack_column(text: str, dtype: Any) -> NDArray[Any]:
    """The column that `pack_column` wrote, which must have had this type; shape (n,)."""
    kind = np.dtype(dtype)
    try:
        planes = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=np.uint8)
        return np.array(planes.reshape(kind.itemsize, -1).T, order="C").view(kind).ravel()
    except (ValueError, binascii.Error, zlib.error) as error:
        raise StatsInputError(f"A packed column of this state cannot be read ({error}).") from error


def field(state: Mapping[str, object], name: str, kind: type[T]) -> T:
    """The field of a state, of the given type (an int serves as a float)."""
    value = state.get(name)
    if kind is float and type(value) is int:
        value = float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise StatsInputError(
            f"This state has {value!r} where {name!r} should be of type {kind.__name__}. "
            f"Was it written by another class or version?"
        )
    return value


def numbers(state: Mapping[str, object], name: str, size: int) -> FloatArray:
    """The field of a state that lists exactly `size` finite numbers."""
    values = [value for value in field(state, name, list) if isinstance(value, int | float)]
    array = np.array(values, dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise StatsInputError(f"This state does not hold {size} finite numbers as {name!r}. It is damaged.")
    return array


class Resumable(ABC):
    """An accumulator that goes through JSON and on from there."""

    __slots__ = ()

    def to_state(self) -> State:
        """All of it as JSON values."""
        return {"kind": type(self).__name__, "v": _VERSION, **self._fields()}

    @classmethod
    def from_state(cls, state: State) -> Self:
        """What `to_state` wrote."""
        kind, version = field(state, "kind", str), field(state, "v", int)
        if (kind, version) != (cls.__name__, _VERSION):
            raise StatsInputError(
                f"This state is of {kind!r} in version {version}, not of {cls.__name__!r} in version {_VERSION}."
            )
        return cls._resumed(state)

    @abstractmethod
    def _fields(self) -> State: ...

    @classmethod
    @abstractmethod
    def _resumed(cls, state: State) -> Self: ...
