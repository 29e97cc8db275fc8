"""Drafts: what the request path writes instead of a frame, and the frame that a reader makes of it.

Whatever can be worked out later from what a draft holds is left to the reader: the bucket of a unit, the tuple that
the input is frozen as, ranks, occurrences, sums, steps in the order of their records. A draft is a msgpack array in
the order of `draft`'s fields; it begins with `MAGIC`, by which it is told from a frame.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.buckets import bucket
from shadoweval.capture.copying import encode, encode_value
from shadoweval.capture.wire.inputs import freeze_call
from shadoweval.capture.wire.rows import call_rows, failed_step, joined_hits, step_rows, usage_row
from shadoweval.errors import CorruptFrameError, UncopyableError
from shadoweval.records import INCUMBENT

__all__ = ["MAGIC", "encode_draft", "finished"]

MAGIC: Final = b"SEd1"
"""First field of a draft."""

_FIELDS: Final = 20
_OUTCOME, _HITS = 12, 16
_HEAD: Final = encode((MAGIC,) * _FIELDS)[: 3 + 2 + len(MAGIC)]
_FRAME: Final = b"SE" + bytes([codec.SCHEMA])

encode_draft: Final = encode_value
"""The draft of (MAGIC, (experiment, entry, salt, versions), prefix and number of the id, unit, text, inputs or
arguments, attributes, time of day, bucket or None, duration, first chunk, outcome or (answer, value, chunks, cut),
failure, began, log, hits, most hits, truncated, cap of the input and of the answer)."""

_DAMAGE: Final = (
    msgspec.DecodeError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    UncopyableError,
)
"""What reading a draft with a wrong byte may raise."""
_REFERENCE: Final = 7
_REFERRED: Final = b"\xd6" + bytes([_REFERENCE])
_ANSWER: Final = 0xFFFF_FFFF


class _Reference(msgspec.Struct, frozen=True):
    """Stands in a returned value for a text that the draft has elsewhere: the answer, or a hit's (list << 16 | row)."""

    place: int


def _extension(code: int, content: memoryview) -> Any:
    if code == _REFERENCE:
        return _Reference(int.from_bytes(content, "big"))
    return msgspec.msgpack.Ext(code, bytes(content))


_decode: Final = msgspec.msgpack.Decoder(ext_hook=_extension).decode


def _resolved(value: Any, answer: str | None, hits: Any) -> Any:
    """A returned value with its texts in place."""
    if type(value) is _Reference:
        place = value.place
        return answer if place == _ANSWER else hits[place >> 16][place & 0xFFFF][2]
    if type(value) is dict:
        return {name: _resolved(part, answer, hits) for name, part in cast("dict[Any, Any]", value).items()}
    if type(value) is list:
        return [_resolved(part, answer, hits) for part in cast("list[Any]", value)]
    return value


def is_draft(frame: bytes) -> bool:
    """Whether it begins as a draft does."""
    return frame.startswith(_HEAD)


def finished(frame: bytes) -> bytes:
    """The frame of a draft; a frame as it is.

    Raises:
        CorruptFrameError: it begins as a draft, and is none.
    """
    if not is_draft(frame):
        return frame
    try:
        draft = _decode(frame)
        if _REFERRED in frame and type(draft[_OUTCOME]) is list:
            answer, value, *rest = draft[_OUTCOME]
            draft[_OUTCOME] = [answer, _resolved(value, answer, draft[_HITS]), *rest]
        return _FRAME + encode(_envelope(draft))
    except _DAMAGE as error:
        raise CorruptFrameError(f"a draft that can't be finished ({error})", frame=frame) from error


def _envelope(draft: list[Any]) -> tuple[Any, ...]:
    """The parts of an envelope in the order of the fields of its records."""
    _, site, prefix, number, unit, text, inputs, attributes, asked_at, place, duration, first, *rest = draft
    outcome, failure, began, log, hits, most, truncated, cap = rest
    experiment, entry, salt, versions = site
    if type(asked_at) is float:
        asked_at = datetime.fromtimestamp(asked_at, UTC)
    if type(inputs) is list:
        inputs = freeze_call(tuple(inputs[0]), inputs[1], max_bytes=cap)
    if place is None:
        place = bucket(salt, unit)
    name = f"{prefix}{number}"
    steps = step_rows(log, began)
    if type(outcome) is list:
        answer, value, chunks, cut = outcome
        if answer is not None and len(answer) > cap:
            answer, cut = answer[:cap], True
        rows = joined_hits(hits, most)
        outcome = (answer, rows, call_rows(log, began), value, chunks, cut or truncated)
    elif outcome is not None:  # an experiment's own, complete
        outcome = msgspec.Raw(outcome)
    if failure is not None:
        failure = (*failure, failed_step(steps))
    query = (name, text, inputs, entry, unit, attributes, asked_at, place, salt)
    did = (outcome, failure, steps, asked_at, duration, first, usage_row(steps), versions)
    return (experiment, query, (name, INCUMBENT, "served", *did))
