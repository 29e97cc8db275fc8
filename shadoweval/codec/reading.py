"""Frozen bytes to data, for whoever must not turn names into objects: see `data`."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Hashable
from pathlib import PurePath
from typing import Any, Final, TypeVar, cast

import msgspec

from shadoweval.codec.extensions import (
    FROZENSET,
    GLOBAL,
    LATER,
    OBJECT,
    PAIRS,
    REDUCED,
    REFERENCE,
    SET,
    SHARED,
    TEXT,
    TUPLE,
    read_text,
)
from shadoweval.codec.freezing import freeze
from shadoweval.codec.instances import made_error
from shadoweval.errors import CorruptFrameError
from shadoweval.records.keys import CLASS

__all__ = ["data", "data_of", "read_as"]

_Kind = TypeVar("_Kind")

_MOST_REPEATED: Final = 16 << 20
"""Bytes that are read again for being referred to: a few references to references would fill any memory."""
_AGAIN: Final = "(again)"
"""Stands for what contains itself, and for what is repeated more often than that."""
_MAKERS: Final = frozenset({"copyreg:__newobj__", "copyreg:__newobj_ex__", "copyreg:_reconstructor"})
"""Their first argument is the class, their second what a kind of text, number or tuple holds."""
_ERRORS_MAKER: Final = f"{made_error.__module__}:{made_error.__qualname__}"
_KINDS_OF: Final = frozenset({"builtins.bytearray", "collections.Counter"})
"""What is read as what it is made of."""
_PATHS: Final = tuple(
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")  # the second since Python 3.13
    for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
)
_KNOWN: Final[dict[str, Callable[..., Any]]] = {
    "datetime.timedelta": dt.timedelta,
    **dict.fromkeys(_PATHS, lambda *parts: str(PurePath(*parts))),
}
"""What of the standard library is read as itself, or as its text."""


def data(frozen: bytes) -> Any:
    """What `freeze` wrote, as data: no class is looked up and none of its code is run.

    Tuples, sets, numbers, dates and UUIDs are what they were. An object is a mapping of its fields, with its class's
    name under `CLASS`; what it was made of, where that has no names, is under `args`. What is a kind of text, number,
    list or mapping is read as that; an enum's member as its value; a class or function as its name.

    Raises:
        CorruptFrameError: bytes that `freeze` did not write.
    """
    try:
        return read_as(frozen, object)
    except msgspec.DecodeError as error:
        raise CorruptFrameError(str(error), frame=frozen) from error
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CorruptFrameError(f"{type(error).__name__}: {error}", frame=frozen) from error


def read_as(frozen: bytes | memoryview, kind: type[_Kind]) -> _Kind:
    """What `freeze`, or the encoder of a record, wrote, as a value of a kind; values in it are data.

    Raises as a decoder does, or whoever reads what msgpack lacks.
    """
    try:
        return _decoder(kind)(frozen)
    except _ExtensionError:
        return msgspec.msgpack.Decoder(kind, ext_hook=_Reading().hook, strict=True).decode(frozen)


@functools.cache
def _decoder(kind: type[_Kind]) -> Callable[[bytes | memoryview], _Kind]:
    """For what holds no extension, which is nearly everything."""
    return msgspec.msgpack.Decoder(
        cast("type[_Kind]", Any if kind is object else kind), ext_hook=_met, strict=True
    ).decode


def _met(_code: int, _content: memoryview) -> Any:
    raise _ExtensionError


def data_of(value: Any) -> Any:
    """A value as data, some parts of which may still be encoded, as extensions. Raises as `freeze` does."""
    return value if value is None or isinstance(value, str | int | float) else data(freeze(value))


class _ExtensionError(Exception):
    """Something that msgpack lacks is there, and what it refers to must be remembered."""


class _Reading:
    """One value that is read as data; `decode` is a decoder's, `hook` is for a decoder of a record with values."""

    def __init__(self) -> None:
        self.shared: dict[int, tuple[Any, int]] = {}
        """Number -> what it is, and how many bytes it would take to write it out."""
        self.repeated = 0

    @functools.cached_property
    def decode(self) -> Callable[[bytes | memoryview], Any]:
        """Reads the parts of a value; most have none that need it."""
        return msgspec.msgpack.Decoder(ext_hook=self.hook, strict=True).decode

    def hook(self, code: int, content: memoryview) -> Any:
        """What an extension says."""
        if code == LATER:
            return bytes(content)
        parts = self.decode(content)
        if code == REFERENCE:
            return self._again(parts)
        if code == SHARED:
            return self._first_of_several(*parts)
        if code == REDUCED:
            return self._reduced(*parts)
        read = _SIMPLE.get(code)
        if read is None:
            raise CorruptFrameError(f"unknown extension {code}")
        return read(parts)

    def _first_of_several(self, number: int, later: bytes) -> Any:
        before = self.repeated
        value = self.decode(later)
        self.shared[number] = (value, len(later) + self.repeated - before)
        return value

    def _again(self, number: int) -> Any:
        value, size = self.shared.get(number, (_AGAIN, 0))
        self.repeated += size
        return value if self.repeated <= _MOST_REPEATED else _AGAIN

    def _reduced(self, make: str, args: Any, later: bytes | None) -> Any:
        state, items, pairs, _ = (None,) * 4 if later is None else self.decode(later)
        subclass = make in _MAKERS
        name, args = (args[0], args[1:]) if subclass or make == _ERRORS_MAKER else (_dotted(make), args)
        if items is not None:
            return items
        if pairs is not None:
            return _mapping(pairs)
        if state is None and len(args) == 1 and (subclass or name in _KINDS_OF):
            return args[0]
        if name in _KNOWN:
            return _KNOWN[name](*args)
        fields = {} if not args else {"args": args}
        if isinstance(state, tuple) and all(part is None or isinstance(part, dict) for part in cast("Any", state)):
            state = {name: value for part in cast("Any", state) if part for name, value in part.items()}  # and slots
        if isinstance(state, dict):
            fields |= _attributes(cast("dict[Any, Any]", state))
        elif state is not None:
            fields["state"] = state
        return {CLASS: name, **fields}


def _dotted(name: str) -> str:
    return name.replace(":", ".")


def _attributes(state: dict[Any, Any]) -> dict[Any, Any]:
    """Attributes; pydantic gives them among others."""
    inner = state.get("__dict__")
    return cast("dict[Any, Any]", inner) if isinstance(inner, dict) and "__pydantic_fields_set__" in state else state


def _object(parts: list[Any]) -> Any:
    name, state = parts[0], parts[1]
    return {CLASS: _dotted(name), **cast("dict[Any, Any]", state)} if isinstance(state, dict) else state


def _mapping(pairs: list[list[Any]]) -> dict[Any, Any]:
    """A key that is data, and no key, is its text."""
    return {key if _hashable(key) else repr(key): part for key, part in pairs}


def _members(kind: type[set[Any] | frozenset[Any]]) -> Callable[[list[Any]], Any]:
    return lambda parts: kind(parts) if all(map(_hashable, parts)) else parts


def _hashable(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_hashable, cast("tuple[Any, ...]", value)))
    return isinstance(value, Hashable)


_SIMPLE: Final[dict[int, Callable[[Any], Any]]] = {
    TUPLE: tuple,
    SET: _members(set),
    FROZENSET: _members(frozenset),
    OBJECT: _object,
    TEXT: lambda parts: read_text(parts, exact=False),
    PAIRS: _mapping,
    GLOBAL: _dotted,
}
