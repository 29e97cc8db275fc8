"""Records to column values and back: whole ones as msgpack, scores as a value or a reason for each side."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from shadoweval.capture.encodable import encodable, encoded
from shadoweval.codec import data, read_as
from shadoweval.errors import CorruptFrameError
from shadoweval.records import Arm, Observation, PairScore, Score, Scored, Unscored

__all__ = ["dump", "dump_observation", "load", "score_row", "with_plain_values"]

_Record = TypeVar("_Record")


def dump(record: msgspec.Struct) -> bytes:
    """The record as msgpack, whatever values are in it: what can't be encoded is marked."""
    return encoded(record)


def dump_observation(observation: Observation) -> bytes:
    """As `dump`; the returned value and the tools' results keep their types (a tuple comes back as a tuple)."""
    return dump(with_plain_values(observation))


def with_plain_values(observation: Observation) -> Observation:
    """The observation with its values as `codec.plain` writes them, so that they keep their types in any record."""
    outcome = observation.outcome
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


def score_row(score: PairScore, candidate: Arm, now: datetime) -> dict[str, Any]:
    """A score as a row: each side as a value or as a reason."""
    row: dict[str, Any] = {
        "query_id": score.query_id,
        "arm": candidate,
        "metric": score.metric,
        "scorer_version": score.scorer_version,
        "at": now,
        "basis": score.basis,
    }
    sides: dict[str, Score | None] = {"incumbent": score.incumbent, "candidate": score.candidate, "noise": score.noise}
    for side, value in sides.items():
        row[side] = value.value if isinstance(value, Scored) else None
        row[f"{side}_reason"] = None if value is None or isinstance(value, Scored) else value.reason
        row[f"{side}_informative"] = not isinstance(value, Unscored) or value.informative
    return row
