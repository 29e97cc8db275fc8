"""Records to bytes and back, for the columns that hold a record whole."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from shadoweval.codec import plain, thaw
from shadoweval.errors import CorruptFrameError
from shadoweval.records import Observation

__all__ = ["dump", "dump_observation", "kept_types", "load"]

_Record = TypeVar("_Record")

_encode = msgspec.msgpack.Encoder(enc_hook=plain).encode


def dump(record: msgspec.Struct) -> bytes:
    """The record as msgpack.

    Raises:
        UncopyableError: some value can't become bytes.
    """
    return _encode(record)


def dump_observation(observation: Observation) -> bytes:
    """As `dump`; the returned value and the tools' results keep their types (a tuple comes back as a tuple)."""
    return _encode(kept_types(observation))


def kept_types(observation: Observation) -> Observation:
    """The observation with its values as `codec.plain` writes them, so that they keep their types in any record."""
    outcome = observation.outcome
    if outcome is not None:
        calls = tuple(msgspec.structs.replace(call, result=_plain(call.result)) for call in outcome.tool_calls)
        outcome = msgspec.structs.replace(outcome, value=_plain(outcome.value), tool_calls=calls)
        observation = msgspec.structs.replace(observation, outcome=outcome)
    return observation


def _plain(value: Any) -> Any:
    return value if isinstance(value, msgspec.msgpack.Ext) else plain(value)


def load(record: bytes, kind: type[_Record]) -> _Record:
    """The record that `dump` wrote.

    Raises:
        CorruptFrameError: damaged bytes, another record, or a class that can't be found here.
    """
    try:
        return msgspec.convert(thaw(record), kind)
    except CorruptFrameError:
        raise
    except (msgspec.ValidationError, ImportError, AttributeError, TypeError, ValueError, KeyError) as error:
        raise CorruptFrameError(f"{type(error).__name__}: {error}", frame=record) from error
