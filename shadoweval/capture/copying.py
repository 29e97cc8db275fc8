"""Copies of what passes through a run, as bytes, while it passes: later changes to the object are not in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.errors import TooLargeError, UncopyableError

__all__ = [
    "UNCOPYABLE",
    "argument_data",
    "data_of",
    "encode",
    "encode_value",
    "plain_result",
    "plainly",
    "uncopyable",
    "weigh",
]

UNCOPYABLE: Final = "shadoweval.uncopyable"
"""Key of the mapping that stands for what could not be copied; its value says why."""

_ITEMS: Final = 4096
_ARGUMENTS_CAP: Final = 1 << 20
_ATOMS: Final = frozenset({int, float, bool, type(None)})

encode: Final = msgspec.msgpack.Encoder().encode


def _fields(value: Any) -> Any:
    """Fields of a pydantic model, LangChain's messages and documents among them; the encoder knows the other kinds."""
    if hasattr(type(value), "model_fields"):
        return {**value.__dict__, **(getattr(value, "__pydantic_extra__", None) or {})}
    raise NotImplementedError


def _fields_or_type(value: Any) -> Any:
    try:
        return _fields(value)
    except NotImplementedError:
        return {UNCOPYABLE: _type_name(value)}


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


encode_value: Final = msgspec.msgpack.Encoder(enc_hook=_fields).encode
_encode_arguments: Final = msgspec.msgpack.Encoder(enc_hook=_fields_or_type, order="deterministic").encode


def weigh(value: Any) -> int:
    """Characters of text in a value that msgpack carries as it is; -1 where `codec.plain` must have a look.

    The encoder writes tuples, dates, dataclasses and others without complaint, but they come back as something else.
    This walk, several times cheaper than `codec.plain`, finds the common case in which nothing of that kind is there.
    """
    kind = type(value)
    if kind is dict:
        try:
            "".join(value)  # the quickest way to see that every key is text
        except TypeError:
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


def argument_data(arguments: Mapping[str, Any]) -> bytes:
    """Arguments of a tool call as data, encoded, with sorted keys: what a model would have written as JSON.

    Tuples and sets become lists, objects mappings of their fields, dates texts. What is no data, or larger than 1 MiB,
    becomes a mapping with its type's name. Both arms do the same, so that equal calls have equal data.
    """
    try:
        raw = _encode_arguments(arguments)
        if len(raw) <= _ARGUMENTS_CAP:
            return raw
    except (OverflowError, TypeError, ValueError, RecursionError):  # one of them, see below
        pass
    return _encode_arguments({str(name): _argument(value) for name, value in arguments.items()})


def _argument(value: Any) -> Any:
    """One argument that can be encoded."""
    try:
        raw = _encode_arguments(value)
    except OverflowError:  # an integer over 64 bits
        raw = encode(codec.plain(value)) if type(value) is int else b""
    except (TypeError, ValueError, RecursionError):  # a key that is no key, a lone surrogate, itself
        raw = b""
    return msgspec.Raw(raw) if 0 < len(raw) <= _ARGUMENTS_CAP else {UNCOPYABLE: _type_name(value)}


def data_of(value: Any, *, max_bytes: int) -> tuple[msgspec.Raw | None, bool]:
    """A returned value as data for scorers, and whether it was left out for its size.

    Tuples become lists and objects mappings of their fields: a scorer shall not need the pipeline's classes. None where
    it can't be copied.
    """
    if type(value) is str or value is None:
        return None, False  # the answer says it
    try:
        raw = encode_value(value)
    except OverflowError:  # an integer over 64 bits
        return _data_of_plain(value, max_bytes)
    except (NotImplementedError, TypeError, ValueError, RecursionError):
        return None, False
    return (None, True) if len(raw) > max_bytes else (msgspec.Raw(raw), False)


def _data_of_plain(value: Any, max_bytes: int) -> tuple[msgspec.Raw | None, bool]:
    try:
        return msgspec.Raw(encode(codec.plain(value, max_bytes=max_bytes))), False
    except UncopyableError as error:
        return None, isinstance(error, TooLargeError)
