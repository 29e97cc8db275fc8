"""What the request path writes: a call's arguments and attributes as bytes, and its draft (`capture.wire.drafts`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import carried, encode, encode_value
from shadoweval.errors import TooLargeError

__all__ = ["MAGIC", "Arguments", "attribute_data", "call_inputs", "chosen", "encode_draft", "freeze_call"]

_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_TUPLE: Final = 1
_Extension: Final = msgspec.msgpack.Ext

MAGIC: Final = b"SEd1"
"""First field of a draft."""

encode_draft: Final = encode_value
"""The draft of (MAGIC, (experiment, entry, salt, versions, names of positional arguments, definition), prefix and
number of the id, unit, text or None or (text or None, the user's key), inputs or arguments, attributes, time of day,
bucket or None, duration, first chunk, outcome or (answer, value, chunks, cut), failure, began, log, hits, most hits,
truncated, cap of the input and of the answer)."""


def call_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], *, max_bytes: int
) -> bytes | tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments themselves where nobody can change them, to be frozen later; else `freeze_call`.

    Raises:
        UncopyableError, TooLargeError: as `codec.freeze`.
    """
    if len(args) == 1 and not kwargs and type(args[0]) is str and len(args[0]) <= max_bytes:  # the commonest of all
        return args, kwargs
    size = 0
    for values in (args, kwargs.values()) if kwargs else (args,):
        for value in values:
            kind = type(value)
            if kind is str:
                size += len(value)
            elif kind not in _ATOMS:
                return freeze_call(args, kwargs, max_bytes=max_bytes)
    if size > max_bytes:
        raise TooLargeError("", cap=max_bytes)
    return args, kwargs


def freeze_call(args: tuple[Any, ...], kwargs: dict[str, Any], *, max_bytes: int) -> bytes:
    """`codec.freeze((args, kwargs))`, quickly where all arguments are plain data.

    Raises:
        UncopyableError, TooLargeError: as `codec.freeze`.
    """
    raw = b""
    try:
        if carried([*args, kwargs]):
            raw = encode(_Extension(_TUPLE, encode((_Extension(_TUPLE, encode(args)), kwargs))))
    except (OverflowError, UnicodeError):  # an integer over 64 bits, half a character
        pass
    if 0 < len(raw) <= max_bytes:
        return raw
    return codec.freeze((args, kwargs), max_bytes=max_bytes)


class Arguments(NamedTuple):
    """What is left of a call's arguments."""

    positional: tuple[Any, ...]
    keywords: dict[str, Any]


def chosen(own: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments from what a user's `inputs` gave: keyword arguments, or the only one."""
    if type(own) is Arguments:
        return own
    return ((), dict(cast("Mapping[str, Any]", own))) if isinstance(own, Mapping) else ((own,), {})


def attribute_data(attributes: Mapping[str, Any], *, max_bytes: int) -> msgspec.Raw:
    """A query's attributes, encoded.

    Raises:
        UncopyableError, TooLargeError: as `codec.plain`.
    """
    plain = cast("dict[Any, Any]", dict(attributes))
    if carried(plain):
        try:
            return msgspec.Raw(encode(plain))
        except (OverflowError, UnicodeError):  # an integer over 64 bits, half a character
            pass
    # A name that is no text would make the whole envelope unreadable in the worker.
    named = {codec.as_text(str(name)): part for name, part in plain.items()}
    return msgspec.Raw(encode(codec.plain(named, max_bytes=max_bytes)))
