"""Copies of what passes through a run, as bytes, while it passes: later changes to the object are not in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.errors import TooLargeError, UncopyableError

__all__ = [
    "UNCOPYABLE",
    "argument_plain",
    "data_of",
    "encode",
    "encode_sorted",
    "encode_value",
    "plain_result",
    "plainly",
    "uncopyable",
    "weigh",
]

UNCOPYABLE: Final = "shadoweval.uncopyable"
"""Key of the mapping that stands for what could not be copied; its value says why."""

_ITEMS: Final = 4096
_KEYS: Final = frozenset({str})
_ATOMS: Final = frozenset({int, float, bool, type(None)})

encode: Final = msgspec.msgpack.Encoder().encode
encode_sorted: Final = msgspec.msgpack.Encoder(order="deterministic").encode
encode_value: Final = msgspec.msgpack.Encoder(enc_hook=codec.plain).encode
"""Objects become mappings of their fields; what the encoder doesn't know becomes what `codec.plain` makes of it."""


def weigh(value: Any) -> int:
    """Characters of text in a value that msgpack carries as it is; -1 where `codec.plain` must have a look.

    The encoder writes tuples, dates, dataclasses and others without complaint, but they come back as something else.
    This walk, several times cheaper than `codec.plain`, finds the common case in which nothing of that kind is there.
    """
    kind = type(value)
    if kind is dict:
        if not _KEYS.issuperset(map(type, value)):
            return -1
        value = value.values()
    elif kind is str:
        return len(value)
    elif kind is not list:
        return 0 if kind in _ATOMS else -1
    if len(value) > _ITEMS:
        return -1
    total = 0
    for part in value:
        kind = type(part)
        if kind is str:
            total += len(part)
        elif kind not in _ATOMS:
            inner = weigh(part)
            if inner < 0:
                return -1
            total += inner
    return total


def plainly(value: Any, *, max_bytes: int = codec.MAX_BYTES) -> Any:
    """`value` itself where msgpack carries it as it is and it is within `max_bytes`, else `codec.plain(value)`.

    Encode the result at once: it may be the value itself, not a copy.

    Raises:
        UncopyableError, TooLargeError: as `codec.plain`.
    """
    try:
        weight = weigh(value)
    except RecursionError:
        weight = -1
    # UTF-8 needs at most four bytes a character.
    if 0 <= weight * 4 <= max_bytes:
        return value
    return codec.plain(value, max_bytes=max_bytes)


def uncopyable(value: Any) -> str | None:
    """Why this recorded value is no copy of the real one; None: it is one."""
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
        if len(found) == 1 and UNCOPYABLE in found:
            return str(found[UNCOPYABLE])
    return None


def plain_result(value: Any, *, max_bytes: int) -> Any:
    """`plainly`, or the mapping that says why not."""
    try:
        return plainly(value, max_bytes=max_bytes)
    except UncopyableError as error:
        return {UNCOPYABLE: error.why}


def argument_plain(value: Any, *, max_bytes: int) -> Any:
    """`plainly`, or a mapping with the type's name: the same in both arms, so that a replay finds the call."""
    try:
        return plainly(value, max_bytes=max_bytes)
    except UncopyableError:
        kind = type(value)
        return {UNCOPYABLE: f"{kind.__module__}.{kind.__qualname__}"}


def data_of(value: Any, *, max_bytes: int) -> tuple[msgspec.Raw | None, bool]:
    """A returned value as data for scorers, and whether it was left out for its size.

    Tuples become lists and objects mappings of their fields: a scorer shall not need the pipeline's classes. None where
    it can't be copied.
    """
    if type(value) is str or value is None:
        return None, False  # the answer says it
    try:
        raw = encode_value(value)
    except (UncopyableError, OverflowError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, OverflowError):  # an integer over 64 bits
            return _data_of_plain(value, max_bytes)
        return None, isinstance(error, TooLargeError)
    return (None, True) if len(raw) > max_bytes else (msgspec.Raw(raw), False)


def _data_of_plain(value: Any, max_bytes: int) -> tuple[msgspec.Raw | None, bool]:
    try:
        return msgspec.Raw(encode(codec.plain(value, max_bytes=max_bytes))), False
    except UncopyableError as error:
        return None, isinstance(error, TooLargeError)
