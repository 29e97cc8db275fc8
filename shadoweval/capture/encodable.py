"""Any value as data: the long way, for what the encoder alone does not take, or would write so that nobody reads it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.codec import as_text
from shadoweval.errors import CodecError, TooLargeError, UncopyableError

__all__ = ["UNCOPYABLE", "NoDataError", "as_data", "encodable", "encoded", "encoded_all", "parts_of", "type_name"]

UNCOPYABLE: Final = "shadoweval.uncopyable"
"""Key of the mapping that stands for what could not be copied; its value says why."""

_DEPTH: Final = 64
_ENCODED: Final = frozenset(
    {float, bool, type(None), bytes, dt.datetime, dt.date, dt.time, dt.timedelta, decimal.Decimal, uuid.UUID}
)
"""What the encoder takes, and nothing can be wrong with."""
_KEYS: Final = frozenset({int, float, bool, type(None), bytes})


class NoDataError(TypeError):
    """A value of a kind that is no data: a connection, a function, an array too large."""


def as_data(value: Any, *, max_bytes: int, text_keys: bool = False) -> Any:
    """What the encoder makes of a value, where it makes something of it; what is no data is marked with its type.

    Lone surrogates become `?`. With `text_keys` keys are texts, as in JSON; else only those that no reader could use.

    Raises:
        UncopyableError: it contains itself.
        TooLargeError: it needs more than `max_bytes`.
        Exception: whatever the value's own code raises.
    """
    return _Walk(max_bytes, text_keys=text_keys)(value, 0)


def type_name(value: Any) -> str:
    """`"module.Class"`."""
    kind: Any = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def encoded(record: msgspec.Struct) -> bytes:
    """A record as msgpack, whatever values are in it: what can't be encoded is marked."""
    try:
        return _encode(record)
    except (OverflowError, TypeError, ValueError, RecursionError, CodecError):
        return _encode(encodable(record))


def encoded_all(records: Sequence[msgspec.Struct]) -> bytes:
    """Several records as one list, each as `encoded` has it."""
    try:
        return _encode(records)
    except (OverflowError, TypeError, ValueError, RecursionError, CodecError):
        return _encode([msgspec.Raw(encoded(record)) for record in records])


def encodable(value: Any) -> Any:
    """A record, or a value in one, as it can be encoded without a loss: integers of any size, tuples, objects.

    Texts lose their half characters; what can't be copied is marked.
    """
    if isinstance(value, msgspec.Struct) and type(value).__module__.startswith("shadoweval."):
        fields = {name: _field(getattr(value, name)) for name in value.__struct_fields__}
        return msgspec.structs.replace(value, **fields)
    try:
        return codec.plain(value)
    except UncopyableError as error:
        return {UNCOPYABLE: error.why}


def _field(value: Any) -> Any:
    """A record's field: text, a list of records or texts, values by name, or a value."""
    if type(value) is str:
        return as_text(value)
    if isinstance(value, dt.datetime):
        return value
    if type(value) is tuple:
        return tuple(_field(part) for part in cast("tuple[Any, ...]", value))
    if type(value) is dict:
        fields = cast("dict[Any, Any]", value)
        if all(type(name) is str for name in fields):
            return {as_text(name): _field(part) for name, part in fields.items()}
    return encodable(value)


class _Walk:
    def __init__(self, cap: int, *, text_keys: bool) -> None:
        self.cap = self.left = cap
        self.text_keys = text_keys
        self.above: set[int] = set()
        """Identities of what the value at hand lies in."""

    def __call__(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self.left -= 1 + (len(value) if kind is str or kind is bytes else 0)
        if self.left < 0:
            raise TooLargeError("", cap=self.cap)
        if kind is str:
            return value if value.isascii() else as_text(value)
        if kind is int:
            return codec.plain(value)  # of whatever size
        if kind in _ENCODED:
            return value
        if depth > _DEPTH or id(value) in self.above:
            raise UncopyableError("", f"nested deeper than {_DEPTH} levels or recursive")
        self.above.add(id(value))
        try:
            return self.structure(value, depth + 1)
        finally:
            self.above.discard(id(value))

    def structure(self, value: Any, depth: int) -> Any:
        if isinstance(value, enum.Enum):
            return self(value._value_, depth)
        if isinstance(value, dict):
            return self.mapping(cast("dict[Any, Any]", value).items(), depth)
        if isinstance(value, list | tuple | set | frozenset):
            parts = [self(part, depth) for part in cast("Iterable[Any]", value)]
            # Sets of several kinds are sorted by nothing else, and each process has an order of its own.
            return sorted(parts, key=msgspec.msgpack.encode) if isinstance(value, set | frozenset) else parts
        fields = _fields(value)
        if fields is not None:
            return self.mapping(fields.items(), depth)
        try:
            return self(parts_of(value), depth)
        except NoDataError:
            return {UNCOPYABLE: type_name(value)}

    def mapping(self, items: Iterable[tuple[Any, Any]], depth: int) -> dict[Any, Any]:
        return {self.key(key, depth): self(part, depth) for key, part in items}

    def key(self, key: Any, depth: int) -> Any:
        if not self.text_keys and type(key) in _KEYS and (type(key) is not int or -(2**63) <= key < 2**64):
            return key
        data = self(key, depth)
        if isinstance(data, str):
            return data
        return hex(key) if type(data) is msgspec.msgpack.Ext and type(key) is int else repr(data)


def _fields(value: Any) -> Mapping[str, Any] | None:
    """Fields by name, of those kinds that the encoder knows; None: it is of none of them."""
    kind: Any = type(value)
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in value.__struct_fields__}
    names: Any = None
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [field.name for field in kind.__attrs_attrs__]
    return None if names is None else {name: getattr(value, name) for name in names if hasattr(value, name)}


def parts_of(value: Any) -> Any:
    """What the encoder takes in the place of a value that it does not know.

    Fields of a pydantic model, LangChain's messages and documents among them; the number in one of numpy's, the list in
    one of its arrays; what a kind of text, number or list holds; the text of a path and its like.

    Raises:
        NoDataError: it is no data.
    """
    kind = type(value)
    if kind in _models:
        extra = getattr(value, "__pydantic_extra__", None)  # one that was never initialised has none
        return {**value.__dict__, **extra} if extra else value.__dict__
    if kind in _scalars:
        number = value.item()
        if type(number) in _ATOMS:  # a datetime64 is a number or a date, by its unit
            return number
        raise NoDataError
    return _learnt(value)


def _learnt(value: Any) -> Any:
    """The same for a type that was not met before."""
    kind: Any = type(value)
    if hasattr(kind, "model_fields"):
        if hasattr(kind, "__pydantic_extra__"):
            if len(_models) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
                _models.clear()
            _models.add(kind)
        return {**value.__dict__, **(getattr(value, "__pydantic_extra__", None) or {})}
    for base, read in _BASES:
        if isinstance(value, base):
            return read(value)
    if hasattr(kind, "dtype"):
        return _numbers(value)
    if kind.__module__.partition(".")[0] in _BY_TEXT:  # `pathlib._local` since Python 3.13
        return str(value)
    raise NoDataError


def _numbers(value: Any) -> Any:
    kind = type(value)
    if hasattr(kind, "__len__"):
        numbers = value.tolist() if value.nbytes <= _ARRAY_CAP else None
        if type(numbers) is list:
            return numbers
        raise NoDataError
    number = value.item()
    if type(number) not in _ATOMS:
        raise NoDataError
    if len(_scalars) >= _MOST_TYPES:
        _scalars.clear()
    _scalars.add(kind)
    return number


_encode: Final = msgspec.msgpack.Encoder(enc_hook=encodable).encode
_MOST_TYPES: Final = 1_000
_ARRAY_CAP: Final = 1 << 20
_ATOMS: Final = frozenset({int, float, bool, type(None)})
_BASES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (deque, list),
)
_BY_TEXT: Final = frozenset({"pathlib", "ipaddress", "fractions", "zoneinfo"})
"""Modules of the standard library whose objects are what their text says."""
_models: Final[set[type]] = set()
_scalars: Final[set[type]] = set()
"""Pydantic models, and numpy's numbers, that were met: the encoder's hook need not look at the class again."""
