"""Copies of what passes through a run, as bytes, while it passes: later changes to the object are not in the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.encodable import UNCOPYABLE, NoDataError, as_data, parts_of, type_name
from shadoweval.errors import TooLargeError, UncopyableError

__all__ = [
    "UNCOPYABLE", "WHOLE", "Pieces", "argument_data", "carried", "data_of", "encode", "encode_value", "packed",
    "plain_arguments", "quickly_packed", "readable", "uncopyable", "within",
]  # fmt: skip

WHOLE: Final = ("chunks", "returned")
"""Keys of the result of a generator that returned something as well."""

_FEW: Final = 16  # msgpack's smallest arrays
_ITEMS: Final = 4096
_TEXT_CAP: Final = 1 << 20
_ARGUMENTS_CAP: Final = 1 << 20
_CROWD: Final = 200_000  # bytes below which no value can be `codec.crowded`
_ATOMS: Final = frozenset({int, float, bool, type(None)})
_TEXT: Final = frozenset({str})
_CONTAINERS: Final = frozenset({dict, list, str, tuple, set, frozenset})

encode: Final = msgspec.msgpack.Encoder().encode


def _fields_or_type(value: Any) -> Any:
    try:
        return parts_of(value)
    except NoDataError:
        return {UNCOPYABLE: type_name(value)}


encode_value: Final = msgspec.msgpack.Encoder(enc_hook=parts_of).encode
_encode_plain: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_encode_arguments: Final = msgspec.msgpack.Encoder(enc_hook=_fields_or_type, order="deterministic").encode


def carried(value: Any, within: set[int] | None = None) -> bool:  # noqa: C901, PLR0911, PLR0912 - the request path: a function a kind would double its time
    """Whether msgpack carries a value as it is: text, numbers, lists and mappings with text keys, and not too large.

    The encoder writes tuples, dates and others without complaint, but they come back as something else, and what lies
    at two places as two. This walk finds the common case without any of that in a tenth of the time of `codec.plain`,
    which must have a look where it says False.

    Args:
        value: Any.
        within: Identities of the lists and mappings that were met in what it is part of.
    """
    kind = type(value)
    if kind is dict:
        if len(value) > _ITEMS or not _TEXT.issuperset(map(type, value)):
            return False
        parts = value.values()
    elif kind is list:
        if len(value) > _ITEMS:
            return False
        if _ATOMS.issuperset(map(type, value)):
            return True
        parts = value
    else:
        return len(value) <= _TEXT_CAP if kind is str else kind in _ATOMS
    for part in parts:
        kind = type(part)
        if kind is str:
            if len(part) > _TEXT_CAP:
                return False
        elif kind not in _ATOMS:
            if within is None:
                within = {id(value)}
            if id(part) in within:
                return False
            within.add(id(part))
            if kind is list and len(part) <= _ITEMS and _ATOMS.issuperset(map(type, part)):
                continue
            if not carried(part, within):
                return False
    return True


def uncopyable(value: Any) -> str | None:
    """Why this recorded value is no copy of the real one; None: it is one."""
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        if len(mapping) == 1 and UNCOPYABLE in mapping:
            return str(mapping[UNCOPYABLE])
    return None


def packed(value: Any, max_bytes: int) -> bytes:
    """A value, encoded so that it comes back as it is (see `codec.plain`), quickly where it is plain data.

    A dataclass or model whose fields are plain data is as quick. `Pieces` become what `Pieces.whole` says, and what is
    encoded already stays as it is.

    Raises:
        UncopyableError, TooLargeError: as `codec.plain`.
    """
    if type(value) is Pieces:
        return value.whole(max_bytes)
    if type(value) is msgspec.Raw and len(value) <= max_bytes:
        return bytes(value)
    raw = quickly_packed(value, max_bytes) or codec.freeze(value, max_bytes=max(max_bytes, 0))
    return _uncrowded(raw)


def _crowded(raw: bytes) -> bool:
    return len(raw) > _CROWD and codec.crowded(raw)


def _uncrowded(raw: bytes) -> bytes:
    if _crowded(raw):
        raise TooLargeError("", cap=_CROWD)
    return raw


def quickly_packed(value: Any, max_bytes: int) -> bytes:
    """`packed` where that takes no time worth telling; empty: `packed` itself must have a look."""
    try:
        raw = encode(value) if carried(value) else _packed_object(value, max_bytes)
    except (OverflowError, UnicodeError, RecursionError, UncopyableError):  # an integer over 64 bits, half a character
        return b""
    return raw if len(raw) <= max_bytes and not _crowded(raw) else b""


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
        except UncopyableError as fault:
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
            UncopyableError, TooLargeError: as `packed`.
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
    """False where the texts in a value, and directly in it, alone are over the cap: 100 MB are not encoded in vain."""
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
    raw = plain_arguments(arguments) or _arguments_by(_encode_arguments, arguments)
    return raw or _encode_arguments({codec.as_text(str(name)): _argument(value) for name, value in arguments.items()})


def plain_arguments(arguments: Mapping[str, Any]) -> bytes:
    """`argument_data` where that takes no time worth telling; empty: there are objects among them, or it is large."""
    return _arguments_by(_encode_plain, arguments)


def _arguments_by(encoded: Callable[[Any], bytes], arguments: Mapping[str, Any]) -> bytes:
    for value in arguments.values():  # a text beyond the cap is not encoded only to be thrown away
        if type(value) is str and len(value) > _ARGUMENTS_CAP:
            return b""
    try:
        raw = encoded(arguments)
    except Exception:  # noqa: BLE001 - one of them, whose own code may raise anything
        return b""
    return raw if len(raw) <= _ARGUMENTS_CAP and not _crowded(raw) else b""


def _argument(value: Any) -> Any:
    """One argument that can be encoded."""
    try:
        raw = _uncrowded(_encode_arguments(as_data(value, max_bytes=_ARGUMENTS_CAP, text_keys=True)))
    except Exception:  # noqa: BLE001 - too large, without an end, or its own code raises
        raw = b""
    return msgspec.Raw(raw) if 0 < len(raw) <= _ARGUMENTS_CAP else {UNCOPYABLE: type_name(value)}


def data_of(value: Any, *, max_bytes: int) -> tuple[msgspec.Raw | None, bool]:
    """A returned value as data for scorers, and whether it was left out for its size.

    Tuples become lists, objects mappings of their fields. None where it can't be copied; a part that can't is marked.
    """
    if type(value) is str or value is None:
        return None, False  # the answer says it
    if not within(value, max_bytes):
        return None, True
    try:
        raw = encode_value(value)
    except Exception:  # noqa: BLE001 - the value's own code may raise anything
        return _marked_data_of(value, max_bytes)
    if len(raw) > max_bytes or _crowded(raw):
        return None, True
    return msgspec.Raw(raw), False


def _marked_data_of(value: Any, max_bytes: int) -> tuple[msgspec.Raw | None, bool]:
    try:
        data = as_data(value, max_bytes=max_bytes)
        return (None if uncopyable(data) is not None else msgspec.Raw(_uncrowded(encode(data)))), False
    except Exception as error:  # noqa: BLE001 - the value's own code may raise anything
        return None, isinstance(error, TooLargeError)


def readable(raw: bytes | msgspec.Raw) -> Any:
    """What was encoded as data; a mapping with keys that are some in Python only, such as dataclasses, is marked.

    Raises:
        msgspec.DecodeError: the bytes are damaged.
    """
    try:
        return msgspec.msgpack.decode(raw)
    except msgspec.DecodeError as error:
        if "hashable" not in str(error):
            raise
    try:
        return [readable(part) for part in _decode_list(raw)]
    except msgspec.ValidationError:
        pass
    try:
        return {name: readable(part) for name, part in _decode_mapping(raw).items()}
    except msgspec.ValidationError:
        return {UNCOPYABLE: "a mapping whose keys are no data"}


_decode_list: Final = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_mapping: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
