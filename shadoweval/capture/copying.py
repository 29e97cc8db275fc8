"""Copies of what passes through a run, as bytes, while it passes: later changes to the object are not in the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.errors import TooLargeError, UncopyableError

__all__ = [
    "UNCOPYABLE",
    "WHOLE",
    "Pieces",
    "argument_data",
    "carried",
    "data_of",
    "encode",
    "encode_value",
    "packed",
    "uncopyable",
    "within",
]

UNCOPYABLE: Final = "shadoweval.uncopyable"
"""Key of the mapping that stands for what could not be copied; its value says why."""

WHOLE: Final = ("chunks", "returned")
"""Keys of the result of a generator that returned something as well."""

_FEW: Final = 16  # msgpack's smallest arrays
_ITEMS: Final = 4096
_TEXT_CAP: Final = 1 << 20
_ARGUMENTS_CAP: Final = 1 << 20
_ATOMS: Final = frozenset({int, float, bool, type(None)})
_CONTAINERS: Final = frozenset({dict, list, str, tuple, set, frozenset})
_MOST_TYPES: Final = 1_000

encode: Final = msgspec.msgpack.Encoder().encode
_models: Final[set[type]] = set()
_scalars: Final[set[type]] = set()
"""Pydantic models, and numpy's numbers, that were met: the encoder's hook need not look at the class again."""


def _fields(value: Any) -> Any:
    """Fields of a pydantic model, LangChain's messages and documents among them; the number in one of numpy's.

    The encoder knows the other kinds.
    """
    kind = type(value)
    if kind in _models:
        extra = getattr(value, "__pydantic_extra__", None)  # one that was never initialised has none
        return {**value.__dict__, **extra} if extra else value.__dict__
    if kind in _scalars:
        number = value.item()
        if type(number) in _ATOMS:  # a datetime64 is a number or a date, by its unit
            return number
        raise NotImplementedError
    if hasattr(kind, "model_fields"):
        if hasattr(kind, "__pydantic_extra__"):
            if len(_models) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
                _models.clear()
            _models.add(kind)
        return {**value.__dict__, **(getattr(value, "__pydantic_extra__", None) or {})}
    if hasattr(kind, "dtype") and not hasattr(kind, "__len__"):
        number = value.item()
        if type(number) in _ATOMS:
            if len(_scalars) >= _MOST_TYPES:
                _scalars.clear()
            _scalars.add(kind)
            return number
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


def carried(value: Any) -> bool:  # noqa: C901, PLR0911 - the request path: a function a kind would double its time
    """Whether msgpack carries a value as it is: text, numbers, lists and mappings with text keys, and not too large.

    The encoder writes tuples, dates, dataclasses and others without complaint, but they come back as something else.
    This walk finds in a tenth of the time of `codec.plain` the common case in which nothing of that kind is there.
    False may only mean that `codec.plain` must have a look. Raises RecursionError for what contains itself.
    """
    kind = type(value)
    if kind is dict:
        if len(value) > _ITEMS:
            return False
        for key, part in value.items():
            if type(key) is not str:
                return False
            kind = type(part)
            if kind is str:
                if len(part) > _TEXT_CAP:
                    return False
            elif kind is list and len(part) <= _ITEMS and _ATOMS.issuperset(map(type, part)):
                continue
            elif kind not in _ATOMS and not carried(part):
                return False
        return True
    if kind is list:
        if len(value) > _ITEMS:
            return False
        return _ATOMS.issuperset(map(type, value)) or all(map(carried, value))
    return len(value) <= _TEXT_CAP if kind is str else kind in _ATOMS


def uncopyable(value: Any) -> str | None:
    """Why this recorded value is no copy of the real one; None: it is one."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        if len(mapping) == 1 and UNCOPYABLE in mapping:
            return str(mapping[UNCOPYABLE])
    return None


def packed(value: Any, max_bytes: int) -> bytes:
    """A value, encoded so that it comes back as it is (see `codec.plain`), quickly where it is plain data.

    A dataclass or model whose fields are plain data is as quick: what stands for an object is its class and its state.
    `Pieces` become what `Pieces.whole` says.

    Raises:
        UncopyableError, TooLargeError: as `codec.plain`.
        UnicodeError: it has a lone surrogate.
    """
    try:
        raw = encode(value) if carried(value) else _packed_object(value, max_bytes)
        if 0 < len(raw) <= max_bytes:
            return raw
    except (OverflowError, UnicodeError, RecursionError, UncopyableError):  # an integer over 64 bits, a lone surrogate
        if type(value) is Pieces:
            raise
    return encode(codec.plain(value, max_bytes=max(max_bytes, 0)))


def _packed_object(value: Any, max_bytes: int) -> bytes:
    """Empty: `codec.plain` must have a look."""
    kind = type(value)
    if kind is Pieces:
        return value.whole(max_bytes)
    return b"" if kind in _CONTAINERS else codec.quick_object(value, carried)


class Pieces:
    """A stream's chunks and what it returned, each as bytes as soon as it is there: its owner may change it.

    Args:
        max_bytes: What is kept of it; of a stream that is larger, nothing is.
    """

    __slots__ = ("count", "data", "fault", "left", "returned")

    def __init__(self, max_bytes: int) -> None:
        self.left, self.count = max_bytes, 0
        self.data = bytearray()
        self.fault: Exception | None = None
        self.returned: Any = None

    def add(self, chunk: Any) -> None:
        """One more chunk."""
        if self.fault is not None:
            return
        try:
            raw = packed(chunk, self.left)
        except (UncopyableError, UnicodeError) as fault:
            self.fault = fault.with_traceback(None)
            self.data.clear()
            return
        self.left -= len(raw)
        self.count += 1
        self.data += raw

    def result(self, returned: Any) -> Pieces:
        """All of it."""
        self.returned = returned
        return self

    def whole(self, max_bytes: int) -> bytes:
        """A list of the chunks; where it returned something, a mapping of both, as `WHOLE` names them.

        Raises:
            UncopyableError, TooLargeError, UnicodeError: as `packed`.
        """
        if self.fault is not None:
            raise self.fault
        many = self.count >= _FEW
        raw = (b"\xdd" + self.count.to_bytes(4, "big") if many else bytes((0x90 | self.count,))) + bytes(self.data)
        if self.returned is not None:
            chunks, returned = map(encode, WHOLE)
            raw = b"\x82" + chunks + raw + returned + packed(self.returned, max_bytes - len(raw))
        if len(raw) > max_bytes:
            raise TooLargeError("", cap=max_bytes)
        return raw


def within(value: Any, max_bytes: int) -> bool:
    """False where the texts in a value alone are over the cap, so that 100 MB are not encoded in vain.

    Looks at the value and what lies directly in it; what it misses, the encoder finds.
    """
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value) <= max_bytes
    if kind is dict:
        parts = value.values()
    elif kind is list or kind is tuple:
        parts = value
    else:
        return True
    for part in parts:
        kind = type(part)
        if kind is str or kind is bytes:
            max_bytes -= len(part)
        elif kind is list or kind is tuple:
            for text in part:
                if type(text) is str:
                    max_bytes -= len(text)
    return max_bytes >= 0


def argument_data(arguments: Mapping[str, Any]) -> bytes:
    """Arguments of a tool call as data, encoded, with sorted keys: what a model would have written as JSON.

    Tuples and sets become lists, objects mappings of their fields, dates texts. What is no data, or larger than 1 MiB,
    becomes a mapping with its type's name. Both arms do the same, so that equal calls have equal data.
    """
    for value in arguments.values():  # a text beyond the cap is not encoded only to be thrown away
        if type(value) is str and len(value) > _ARGUMENTS_CAP:
            break
    else:
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
        raw = _encode_arguments(value) if within(value, _ARGUMENTS_CAP) else b""
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
    if not within(value, max_bytes):
        return None, True
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
