"""Frames of envelopes, and arguments as texts that can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval.codec.freezing import freeze
from shadoweval.codec.reading import read_as
from shadoweval.errors import CorruptFrameError, NewerSchemaError
from shadoweval.records import Envelope
from shadoweval.records.keys import SCHEMA

__all__ = ["canonical", "decode_envelope", "encode_envelope"]

_MAGIC: Final = b"SE"
_encode: Final = msgspec.msgpack.Encoder(enc_hook=lambda value: msgspec.Raw(freeze(value))).encode
_decode_encoded: Final = msgspec.msgpack.Decoder(Envelope, strict=True).decode


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope's frame. Values inside are plain (see `plain`), or data as `decode_envelope` reads it.

    Raises:
        UncopyableError: some value can't become bytes.
    """
    return _MAGIC + bytes([SCHEMA]) + _encode(envelope)


def decode_envelope(frame: bytes, *, encoded: bool = False) -> Envelope:
    """The envelope of a frame. Values in it are data (see `data`): no class is looked up.

    Args:
        frame: What `encode_envelope` wrote.
        encoded: Leave values that msgpack lacks encoded, as extensions, so that they can be sent on as they are.

    Raises:
        CorruptFrameError: not written by us, truncated, or damaged; the frame stays on the error.
        NewerSchemaError: written by a later version.
    """
    if frame[:2] != _MAGIC or len(frame) < 4:
        raise CorruptFrameError("it does not begin as an envelope does", frame=frame)
    if frame[2] > SCHEMA:
        raise NewerSchemaError(frame[2], SCHEMA)
    content = memoryview(frame)[3:]
    try:
        if encoded:
            return _decode_encoded(content)
        return read_as(content, Envelope)
    except CorruptFrameError as error:
        raise CorruptFrameError(error.why, frame=frame) from error
    except (
        msgspec.DecodeError,
        TypeError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
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
