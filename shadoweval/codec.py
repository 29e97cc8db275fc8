"""Values and envelopes to bytes and back.

`freeze` makes a snapshot of any value that can be rebuilt elsewhere: plain data, tuples, sets, dates, enums,
dataclasses, msgspec structs, attrs classes and pydantic models (LangChain messages and documents among them).
What can't be copied raises; a reference is never kept. `thaw` rebuilds it; classes are imported by name, no code of
the value is run besides its class's constructor.

An envelope's frame is `SE`, one byte of schema, and a msgpack array. Later schemas only append fields, so a reader of
schema n reads every schema below n.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import importlib
import json
import operator
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval.errors import CorruptFrameError, NewerSchemaError, TooLargeError, UncopyableError
from shadoweval.records import Envelope

__all__ = [
    "MAX_BYTES",
    "SCHEMA",
    "canonical",
    "decode_envelope",
    "encode_envelope",
    "freeze",
    "plain",
    "quick_object",
    "thaw",
]

SCHEMA: Final = 1
MAX_BYTES: Final = 8 * 1024 * 1024
"""Default cap of one frozen value."""

_MAGIC: Final = b"SE"
_DEPTH: Final = 64
_TUPLE, _SET, _FROZENSET, _OBJECT, _TEXT, _PAIRS = 1, 2, 3, 4, 5, 6
_SCALARS: Final = frozenset({str, bytes, int, float, bool, type(None)})
_AS_TEXT: Final[dict[type, Callable[[str], Any]]] = {
    int: int,
    complex: complex,
    decimal.Decimal: decimal.Decimal,
    dt.datetime: dt.datetime.fromisoformat,
    dt.date: dt.date.fromisoformat,
    dt.time: dt.time.fromisoformat,
    uuid.UUID: uuid.UUID,
}

_encode: Final = msgspec.msgpack.Encoder().encode


class _Plainer:
    """Turns a value into what msgpack carries, counting bytes against the cap."""

    __slots__ = ("cap", "left")

    def __init__(self, cap: int) -> None:
        self.cap = self.left = cap

    def spend(self, size: int, path: str) -> None:
        self.left -= size + 1
        if self.left < 0:
            raise TooLargeError(path, cap=self.cap)

    def __call__(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            if kind is str or kind is bytes:
                self.spend(len(value), path)
            elif kind is int and not -(2**63) <= value < 2**64:
                return self.text(value, path)
            else:
                self.spend(8, path)
            return value
        if depth > _DEPTH:
            raise UncopyableError(path, f"nested deeper than {_DEPTH} levels or recursive")
        if kind is dict:
            return self.mapping(value, path, depth + 1)
        if kind is list:
            return [self(v, path, depth + 1) for v in value]
        return self.composite(value, path, depth + 1)

    def mapping(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        pairs = [(self(k, path, depth), self(v, f"{path}[{k!r}]", depth)) for k, v in value.items()]
        if any(type(k) not in _SCALARS for k, _ in pairs):
            return _ext(_PAIRS, [list(pair) for pair in pairs])
        return dict(pairs)

    def composite(self, value: Any, path: str, depth: int) -> msgspec.msgpack.Ext:
        kind = type(value)
        if kind is tuple:
            return _ext(_TUPLE, [self(v, path, depth) for v in value])
        if kind is set or kind is frozenset:
            return _ext(_SET if kind is set else _FROZENSET, [self(v, path, depth) for v in value])
        if kind in _AS_TEXT:
            return self.text(value, path)
        target, state = _target_and_state(value, path)
        return _ext(_OBJECT, [target, self(state, path, depth)])

    def text(self, value: Any, path: str) -> msgspec.msgpack.Ext:
        written = value.isoformat() if isinstance(value, dt.date | dt.time) else str(value)
        self.spend(len(written), path)
        return _ext(_TEXT, [type(value).__name__, written])


def _ext(code: int, content: list[Any]) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _encode(content))


_Reader = tuple[str, Callable[[Any], Any]]
_readers: Final[dict[type, _Reader]] = {}
_MOST_TYPES: Final = 1_000


def _target_and_state(value: Any, path: str) -> tuple[str, Any]:
    """Name of a value's class, and the state from which `_rebuild` makes an equal value; raises for what can't be."""
    kind = type(value)
    reader = _readers.get(kind)
    if reader is None:
        if len(_readers) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
            _readers.clear()
        reader = _readers[kind] = _reader(kind, path)
    try:
        return reader[0], reader[1](value)
    except AttributeError as error:  # a field that was never set
        raise UncopyableError(path, str(error)) from None


def _reader(kind: Any, path: str) -> _Reader:
    if "<locals>" in kind.__qualname__ or kind.__module__ == "__main__":
        raise UncopyableError(path, f"{kind.__qualname__!r} can't be imported by another process")
    target = f"{kind.__module__}:{kind.__qualname__}"
    if issubclass(kind, enum.Enum):
        read = operator.attrgetter("value")
    elif issubclass(kind, msgspec.Struct):
        read = _attributes(kind.__struct_fields__)
    elif dataclasses.is_dataclass(kind):
        read = _attributes(field.name for field in dataclasses.fields(kind))
    elif hasattr(kind, "model_fields") and hasattr(kind, "model_construct"):  # pydantic, not imported here
        read = _model_fields
    elif hasattr(kind, "__attrs_attrs__"):
        read = _attributes(field.name for field in kind.__attrs_attrs__)
    else:
        raise UncopyableError(path, f"a {target.replace(':', '.')} is no plain data, dataclass or model")
    return target, read


def _attributes(names: Iterable[str]) -> Callable[[Any], dict[str, Any]]:
    names = tuple(names)
    return lambda value: {name: getattr(value, name) for name in names}


def _model_fields(value: Any) -> dict[str, Any]:
    extra = getattr(value, "__pydantic_extra__", None)
    return {**value.__dict__, **extra} if extra else value.__dict__


def quick_object(value: Any, carried: Callable[[Any], bool]) -> bytes:
    """`freeze(value)` for an object whose state is plain data, by `carried`; empty where it is not, or no object.

    Raises:
        UncopyableError: it can't be rebuilt elsewhere.
    """
    if type(value) in _AS_TEXT:
        return b""
    target, state = _target_and_state(value, "")
    return _encode(msgspec.msgpack.Ext(_OBJECT, _encode((target, state)))) if carried(state) else b""


def plain(value: Any, *, max_bytes: int = MAX_BYTES) -> Any:
    """`value` as what msgpack carries: a new structure without a reference to any mutable part of it.

    Raises:
        UncopyableError: some part can't be rebuilt elsewhere; `path` says which.
        TooLargeError: it needs more than `max_bytes`.
    """
    return _Plainer(max_bytes)(value, "", 0)


def freeze(value: Any, *, max_bytes: int = MAX_BYTES) -> bytes:
    """`value` as bytes, from which `thaw` rebuilds an equal one. Raises as `plain` does."""
    return _encode(plain(value, max_bytes=max_bytes))


def _rebuild(target: str, state: Any) -> Any:
    module, _, qualname = target.partition(":")
    kind: Any = importlib.import_module(module)
    for part in qualname.split("."):
        kind = getattr(kind, part)
    if not isinstance(kind, type):
        raise CorruptFrameError(f"{target!r} is no class")
    if issubclass(kind, enum.Enum):
        return kind(state)
    if hasattr(kind, "model_construct"):
        return cast("Any", kind).model_construct(**state)
    if issubclass(kind, msgspec.Struct):
        return kind(**state)
    instance: Any = object.__new__(kind)
    for name, part in state.items():
        object.__setattr__(instance, name, part)
    return instance


_readers_of_text: Final = {kind.__name__: read for kind, read in _AS_TEXT.items()}
_REBUILD: Final[dict[int, Callable[[Any], Any]]] = {
    _TUPLE: tuple,
    _SET: set,
    _FROZENSET: frozenset,
    _OBJECT: lambda parts: _rebuild(*parts),
    _TEXT: lambda parts: _readers_of_text[parts[0]](parts[1]),
    _PAIRS: dict,
}


def _ext_hook(code: int, content: memoryview) -> Any:
    parts, rebuild = thaw(bytes(content)), _REBUILD.get(code)
    if rebuild is None:
        raise CorruptFrameError(f"unknown extension {code}")
    return rebuild(parts)


_decode: Final = msgspec.msgpack.Decoder(ext_hook=_ext_hook, strict=True).decode
_decode_envelope: Final = msgspec.msgpack.Decoder(Envelope, ext_hook=_ext_hook, strict=True).decode


def thaw(frozen: bytes) -> Any:
    """Rebuild what `freeze` wrote.

    Raises:
        CorruptFrameError: bytes that `freeze` did not write.
        ImportError, AttributeError: a class that can't be found in this process.
    """
    try:
        return _decode(frozen)
    except msgspec.DecodeError as error:
        raise CorruptFrameError(str(error), frame=frozen) from error


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope's frame. Values inside must be plain (see `plain`)."""
    return _MAGIC + bytes([SCHEMA]) + _encode(envelope)


def decode_envelope(frame: bytes) -> Envelope:
    """The envelope of a frame.

    Raises:
        CorruptFrameError: not written by us, truncated, or damaged; the frame stays on the error.
        NewerSchemaError: written by a later version.
    """
    if frame[:2] != _MAGIC or len(frame) < 4:
        raise CorruptFrameError("it does not begin as an envelope does", frame=frame)
    if frame[2] > SCHEMA:
        raise NewerSchemaError(frame[2], SCHEMA)
    try:
        return _decode_envelope(memoryview(frame)[3:])
    except (msgspec.DecodeError, ImportError, AttributeError, TypeError, ValueError, KeyError, RecursionError) as error:
        raise CorruptFrameError(f"{type(error).__name__}: {error}", frame=frame) from error


def _canon(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(k): _canon(v) for k, v in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_canon(v) for v in cast("list[Any]", value)]
    if isinstance(value, set | frozenset):
        return sorted((_canon(v) for v in cast("set[Any]", value)), key=repr)
    return f"{type(value).__qualname__}:{freeze(value).hex()}"


def canonical(arguments: Mapping[str, Any]) -> str:
    """Arguments of a tool call as a text that is equal exactly when the arguments are.

    Keys are sorted; 10 and 10.0 are the same number, as in JSON (RFC 8259, 8785), "10" is not; tuples equal lists.
    """
    return json.dumps(_canon(arguments), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
