"""An envelope's frame by the short road: nested tuples in the order of the records' fields, one encoder.

The bytes are those of `codec.encode_envelope`; records are not built, since the request path only writes them.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import encode
from shadoweval.errors import TooLargeError

__all__ = ["frame", "freeze_call"]

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_MAGIC: Final = b"SE" + bytes([codec.SCHEMA])
_TUPLE: Final = 1
_Extension: Final = msgspec.msgpack.Ext


def freeze_call(args: tuple[Any, ...], kwargs: dict[str, Any], *, max_bytes: int) -> bytes:
    """`codec.freeze((args, kwargs))`, quickly where all arguments are text and numbers.

    Raises:
        UncopyableError, TooLargeError: as `codec.freeze`.
    """
    if len(args) == 1 and not kwargs and type(args[0]) is str and len(args[0]) <= max_bytes:  # the commonest of all
        return encode(_Extension(_TUPLE, encode((_Extension(_TUPLE, encode(args)), kwargs))))
    if _ATOMS.issuperset(map(type, args)) and (not kwargs or _ATOMS.issuperset(map(type, kwargs.values()))):
        size = sum(len(value) for value in args if type(value) is str)
        if kwargs:
            size += sum(len(value) for value in kwargs.values() if type(value) is str)
        if size > max_bytes:
            raise TooLargeError("", cap=max_bytes)
        try:
            return encode(_Extension(_TUPLE, encode((_Extension(_TUPLE, encode(args)), kwargs))))
        except OverflowError:  # an integer over 64 bits
            pass
    return codec.freeze((args, kwargs), max_bytes=max_bytes)


def frame(experiment: msgspec.Raw, query: tuple[Any, ...], served: tuple[Any, ...]) -> bytes:
    """The frame of an envelope whose parts stand in the order of the fields of `Query` and `Observation`."""
    return _MAGIC + encode((experiment, query, served))
