"""Records to column values and back, as msgpack."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from shadoweval.capture.encodable import encodable, encoded, encoded_all
from shadoweval.codec import data, read_as
from shadoweval.errors import CorruptFrameError
from shadoweval.records import Observation

__all__ = ["dump", "dump_all", "dump_observation", "load", "with_plain_values"]

_Record = TypeVar("_Record")


def dump(record: msgspec.Struct) -> bytes:
    """The record as msgpack, whatever values are in it: what can't be encoded is marked."""
    return encoded(record)


def dump_all(records: Iterable[msgspec.Struct]) -> bytes:
    """Several records as one list; a kind of `load` is `list[...]`."""
    return encoded_all(list(records))


def dump_observation(observation: Observation) -> bytes:
    """As `dump`; the returned value and the tools' results keep their types (a tuple comes back as a tuple)."""
    return dump(with_plain_values(observation))


def with_plain_values(observation: Observation) -> Observation:
    """The observation with its values as `codec.plain` writes them, so that they keep their types in any record."""
    outcome = observation.outcome
    if observation.again:
        observation = msgspec.structs.replace(observation, again=tuple(map(with_plain_values, observation.again)))
    calls = tuple(msgspec.structs.replace(call, result=encodable(call.result)) for call in observation.tool_calls)
    if outcome is None:
        return msgspec.structs.replace(observation, calls=calls) if calls else observation
    return msgspec.structs.replace(
        observation, outcome=msgspec.structs.replace(outcome, value=encodable(outcome.value), tool_calls=calls)
    )


def load(record: bytes, kind: type[_Record]) -> _Record:
    """The record that `dump` wrote; values in it are data (see `codec.data`).

    Raises:
        CorruptFrameError: damaged bytes, or another record.
    """
    with contextlib.suppress(Exception):  # what is wrong with it, if it is, is said below
        return read_as(record, kind)
    try:
        return msgspec.convert(data(record), kind)
    except CorruptFrameError:
        raise
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise CorruptFrameError(f"{type(error).__name__}: {error}", frame=record) from error
