"""Drafts: what the request path writes instead of a frame, and the frame that a reader makes of it.

Whatever can be worked out later from what a draft holds is left to the reader: the bucket of a unit, the tuple that
the input is frozen as, ranks, occurrences, sums, steps in the order of their records. A draft is a msgpack array in
the order of `draft`'s fields; it begins with `MAGIC`, by which it is told from a frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from shadoweval import codec
from shadoweval.buckets import bucket
from shadoweval.capture.copying import encode, readable
from shadoweval.capture.wire.inputs import MAGIC, freeze_call
from shadoweval.capture.wire.rows import call_rows, failed_step, joined_hits, step_rows, usage_fields
from shadoweval.errors import CorruptFrameError, UncopyableError
from shadoweval.records import INCUMBENT

__all__ = ["finished"]

_FIELDS: Final = 20
_HEAD: Final = encode((MAGIC,) * _FIELDS)[: 3 + 2 + len(MAGIC)]
_FRAME: Final = b"SE" + bytes([codec.SCHEMA])

_DAMAGE: Final = (
    msgspec.DecodeError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    RecursionError,
    UncopyableError,
)
"""What reading a draft with a wrong byte, or with a value nested deeper than is read here, may raise."""
_OF_SHADOWS: Final = ((), 0, (), (), None, (0.0, 0.0))
"""Fields of an observation between `versions` and `calls`, as they are of what was served."""
_UNSAID: Final = ((), "")
"""Names and definition, which earlier versions do not say of a site."""


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
        return _FRAME + encode(_envelope(readable(frame), crowded=codec.crowded(frame)))
    except _DAMAGE as error:
        raise CorruptFrameError(f"a draft that can't be finished ({error})", frame=frame) from error


def _envelope(draft: list[Any], *, crowded: bool) -> tuple[Any, ...]:
    """The parts of an envelope in the order of the fields of its records.

    `crowded`: all of it together holds more lists and mappings than a value may, so it is looked at by itself.
    """
    _, site, prefix, number, unit, text, inputs, attributes, asked_at, position, duration, first, *rest = draft
    outcome, failure, began, log, hits, most, truncated, cap = rest
    experiment, entry, salt, versions, *more = site
    names, definition = (*more, *_UNSAID[len(more) :])
    if type(asked_at) is float:
        asked_at = datetime.fromtimestamp(asked_at, UTC)
    if type(inputs) is list:
        inputs = freeze_call(tuple(inputs[0]), inputs[1], max_bytes=cap)
    if position is None:
        position = bucket(salt, unit)
    text, identity = _question(text, inputs, names)
    name = f"{prefix}{number}"
    steps = step_rows(log, began)
    if type(outcome) is list:
        answer, value, chunks, cut = outcome
        if answer is not None and len(answer) > cap:
            answer, cut = answer[:cap], True
        if crowded and codec.crowded(encode(value)):  # as `copying.data_of` does for a candidate's
            value, cut = None, True
        rows = joined_hits(hits, most)
        outcome = (answer, rows, call_rows(log, began), value, chunks, cut or truncated)
    elif outcome is not None:  # an experiment's own, complete
        outcome = msgspec.Raw(outcome)
    if failure is not None:
        failure = (*failure, failed_step(steps))
    query = (name, text, inputs, entry, unit, attributes, asked_at, position, salt, identity)
    did = (outcome, failure, steps, asked_at, duration, first, usage_fields(steps), versions)
    if failure is not None:
        did = (*did, *_OF_SHADOWS, call_rows(log, began))
    return (experiment, query, (name, INCUMBENT, "served", *did), definition)


def _question(text: Any, inputs: bytes, names: Sequence[str]) -> tuple[str, str]:
    """The question's text, and the query's identity."""
    from shadoweval.capture.wire.questions import (  # noqa: PLC0415 - readers', not the request path's
        arguments_by_name,
        identity_of,
        question_of,
    )

    key: str | None = None
    if type(text) is list:
        text, key = text
    try:
        arguments = arguments_by_name(inputs, names)
        if text is None:
            text = question_of(arguments)
        return text, identity_of(arguments if key is None else {"key": key})
    except _DAMAGE:  # arguments nested deeper than is read here, or in a form that this version does not know
        return text or "", "" if key is None else identity_of({"key": key})
