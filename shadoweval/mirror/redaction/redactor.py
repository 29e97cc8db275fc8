"""Take secrets and personal data out of texts before their bytes leave the process, or a worker stores them.

A redactor gets every text of an envelope, however deeply nested, with the mapping key it stands under, and gives the
text to send instead. The same text always becomes the same, so that replays and duplicates still match.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.wire.questions import arguments_by_name, identity_of
from shadoweval.codec.extensions import (
    FROZENSET,
    GLOBAL,
    LATER,
    OBJECT,
    PAIRS,
    REDUCED,
    REFERENCE,
    SET,
    SHARED,
    TEXT,
    TUPLE,
    decode_raw,
    encode,
    extension,
    read_text,
)
from shadoweval.errors import CodecError
from shadoweval.mirror.redaction.secret_forms import redact_secrets
from shadoweval.mirror.redaction.secret_names import is_secret_name
from shadoweval.protocols import Redactor
from shadoweval.records import Failure, Hit, Observation, Outcome, ToolCall

__all__ = ["redact_secrets", "redacted_frame", "redacted_observation"]

DROPPED: Final = "[DROPPED]"
"""Stands for what can't be looked into, such as bytes that are no text."""


_CALLS: Final = Observation.__struct_fields__.index("calls")
_IDENTITY: Final = 9
"""Index of `Query.identity`."""
_FAILED: Final = ToolCall.__struct_fields__.index("failed")
_BESIDE: Final = ToolCall.__struct_fields__.index("beside")
_NUMPY_TYPES: Final = re.compile(rb"numpy:dtype\x93[\xa1-\xa4](.)")
"""The name of what makes a type, a list of three, and the first letter of a short text (msgpack's spec, array, str)."""
Ext: Final = msgspec.msgpack.Ext
_ATOMS: Final = frozenset({int, float, bool, type(None), datetime})
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b"))


def _checked(redact: Redactor) -> Redactor:
    """A redactor whose mistakes raise: what is no text can't be read on the other side."""

    def checked(text: str, key: str) -> str:
        clean: Any = redact(text, key)
        if not isinstance(clean, str):
            raise TypeError(f"the redactor gave a {type(clean).__name__} instead of a text")
        return clean

    return checked


def redacted(value: Any, redact: Redactor, key: str = "") -> Any:
    """Plain data with every text in it redacted, keys of mappings and bytes that are text (UTF-8) among them.

    Numbers and times stay. What is neither text nor a structure of texts becomes `DROPPED`.
    """
    kind = type(value)
    if kind is str:
        return redact(value, key)
    if kind is list or kind is tuple:
        return [redacted(part, redact, key) for part in value]
    if kind is bytes:
        return _redacted_bytes(value, redact, key)
    if kind is msgspec.msgpack.Ext:
        return _redacted_extension(value, redact, key)
    if isinstance(value, Mapping):
        return dict(_redacted_pairs(cast("Mapping[Any, Any]", value).items(), redact, key))
    return value if kind in _ATOMS else DROPPED


def _redacted_pairs(pairs: Iterable[tuple[Any, Any]], redact: Redactor, key: str) -> Iterator[tuple[Any, Any]]:
    """Keys and values of a mapping. Two keys that become the same stay two."""
    seen: set[Any] = set()
    for name, part in pairs:
        first = clean = redacted(name, redact)
        if type(clean) is str:
            number = 1
            while clean in seen:
                number += 1
                clean = f"{first} {number}"
            seen.add(clean)
        yield clean, redacted(part, redact, _key(name, key))


def _redacted_bytes(value: bytes, redact: Redactor, key: str) -> bytes:
    """Text as bytes. Control characters mean that it is something else, such as UTF-16 or a picture."""
    try:
        text = value.decode() if value == value.translate(None, _CONTROLS) else None
    except UnicodeDecodeError:
        text = None
    return DROPPED.encode() if text is None else redact(text, key).encode()


def _redacted_fields(value: Any, redact: Redactor, key: str) -> Any:
    """State of an object, or named arguments: the names are the program's, and nothing works without them."""
    if not isinstance(value, Mapping):
        return redacted(value, redact, key)
    fields = cast("Mapping[str, Any]", value)
    return {name: redacted(part, redact, _key(name, key)) for name, part in fields.items()}


def _key(name: Any, above: str) -> str:
    """The key for what stands under `name`: a mapping of cookies is as secret as one cookie."""
    return above if type(name) is not str or is_secret_name(above) else name


def _redacted_extension(value: msgspec.msgpack.Ext, redact: Redactor, key: str) -> Any:
    """Inside codec's extensions: the parts of tuples, sets and pairs, the state of objects, not their class."""
    if value.code in {GLOBAL, REFERENCE} or (value.code == REDUCED and _is_numbers(value.data)):
        return value
    if value.code not in {TUPLE, SET, FROZENSET, OBJECT, PAIRS, TEXT, REDUCED, SHARED}:
        return DROPPED
    parts = decode_raw(value.data)
    if value.code == TEXT:
        # Another than a text with half characters is a time, a number, a UUID.
        return redact(read_text(parts, exact=False), key) if parts[0] == "str" else value
    if value.code == OBJECT:
        names = parts[2:3]
        parts = [parts[0], *(_redacted_fields(part, redact, key) for part in (parts[1], *parts[3:]))]
        parts[2:2] = names
    elif value.code == PAIRS:
        parts = [list(pair) for pair in _redacted_pairs(parts, redact, key)]
    elif value.code == REDUCED:
        parts = [parts[0], redacted(parts[1], redact, key), _redacted_rest(parts[2], redact, key)]
    elif value.code == SHARED:
        parts = [parts[0], Ext(LATER, encode(redacted(decode_raw(parts[1].data), redact, key)))]
    else:
        parts = redacted(parts, redact, key)
    return extension(value.code, parts)


def _redacted_rest(later: Any, redact: Redactor, key: str) -> Any:
    """State, items, pairs and setter of an object that is rebuilt by a function of its own."""
    if later is None:
        return None
    state, items, pairs, setter = decode_raw(later.data)
    pairs = None if pairs is None else [list(pair) for pair in _redacted_pairs(pairs, redact, key)]
    return Ext(LATER, encode([_redacted_fields(state, redact, key), redacted(items, redact, key), pairs, setter]))


def _is_numbers(reduced: Any) -> bool:
    """Whether it is one of numpy's numbers or arrays of numbers, whose bytes are no text: by the codes of its types."""
    kinds = _NUMPY_TYPES.findall(reduced)
    return bool(kinds) and all(kind in b"?biufcmM" for kind in kinds)


def _redacted_inputs(frozen: bytes, redact: Redactor) -> bytes:
    """`codec.freeze((args, kwargs))`: the names of the arguments stay."""
    whole = msgspec.msgpack.decode(frozen)
    if type(whole) is not msgspec.msgpack.Ext or whole.code != TUPLE:
        return encode(redacted(whole, redact))
    parts = msgspec.msgpack.decode(whole.data)
    clean = [*(redacted(part, redact) for part in parts[:-1]), *(_redacted_fields(p, redact, "") for p in parts[-1:])]
    return encode(msgspec.msgpack.Ext(TUPLE, encode(clean)))


def redacted_frame(frame: bytes, redact: Redactor, *, names: Sequence[str] | None = ()) -> bytes:
    """An envelope's frame with its texts redacted: question, inputs, attributes, answer, hits, tool calls, errors.

    What links records stays: ids, names of experiment, entry, tools and steps, the unit, versions. The query's identity
    is that of its redacted inputs, positional ones by `names`; None: it is the user's own key, and stays.

    Raises:
        TypeError: the redactor gave something else than a text.
    """
    redact = _checked(redact)
    experiment, query, served, *definition = msgspec.msgpack.decode(memoryview(frame)[3:])
    query[1] = redact(query[1], "")
    query[2] = _redacted_inputs(query[2], redact)
    query[5] = _redacted_fields(query[5], redact, "")
    if names is not None and len(query) > _IDENTITY:
        query[_IDENTITY] = identity_of(arguments_by_name(query[2], names)) if query[2] else ""
    outcome, failure = served[3], served[4]
    if outcome is not None:
        answer, hits, calls, value = outcome[:4]
        outcome[0] = None if answer is None else redact(answer, "answer")
        outcome[1] = [[hit[0], hit[1], hit[2], None if hit[3] is None else redact(hit[3], "text")] for hit in hits]
        outcome[2] = [_redacted_call(call, redact) for call in calls]
        outcome[3] = redacted(value, redact)
    if failure is not None:
        failure[2] = redact(failure[2], "message")
    if len(served) > _CALLS:
        served[_CALLS] = [_redacted_call(call, redact) for call in served[_CALLS]]
    for step in served[5]:
        if len(step) > 8 and step[8] is not None:
            step[8] = redact(step[8], "error")
    return frame[:3] + encode([experiment, query, served, *definition])


def _redacted_call(call: list[Any], redact: Redactor) -> list[Any]:
    error = None if call[3] is None else redact(call[3], "error")
    failed = [redact(text, "failed") if text else text for text in call[_FAILED : _FAILED + 1]]
    arguments, result = _redacted_fields(call[1], redact, ""), redacted(call[2], redact)
    beside = [_redacted_fields(parts, redact, "") for parts in call[_BESIDE : _BESIDE + 1]]
    return [call[0], arguments, result, error, *call[4:_FAILED], *failed, *call[_FAILED + 1 : _BESIDE], *beside]


def redacted_observation(observation: Observation, redact: Redactor) -> Observation:
    """What a shadow did, with the same texts redacted as in a served observation's frame.

    Never raises: what could not be redacted is not kept. The run is then the shadow's failure, since it is no fault of
    the candidate's.
    """
    try:
        return _redacted_observation(observation, _checked(redact))
    except Exception as error:  # noqa: BLE001 - a redactor is the user's own; its message may hold what it was given
        name = type(error).__name__
        failure = Failure(
            kind="error",
            error_type=name,
            message="redaction failed",
            owner="shadow",
            cause=f"redact= raised {name}",
            mend="mend Experiment(redact=...): it must take every text",
        )
        emptied: Any = dict.fromkeys(("steps", "refusals", "writes", "calls", "again"), ())
        return msgspec.structs.replace(observation, outcome=None, failure=failure, versions={}, **emptied)


def _redacted_observation(observation: Observation, redact: Redactor) -> Observation:
    replace = msgspec.structs.replace
    outcome, failure = observation.outcome, observation.failure
    return replace(
        observation,
        outcome=None if outcome is None else _redacted_outcome(outcome, redact),
        again=tuple(_redacted_observation(each, redact) for each in observation.again),
        failure=None if failure is None else _redacted_failure(failure, redact),
        steps=tuple(replace(s, error=None if s.error is None else redact(s.error, "error")) for s in observation.steps),
        refusals=tuple(replace(r, detail=redact(r.detail, "detail")) for r in observation.refusals),
        writes=tuple(
            replace(w, arguments=_redacted_values(w.arguments, redact, named=True), entity=redact(w.entity, "entity"))
            for w in observation.writes
        ),
        calls=tuple(_redacted_tool_call(call, redact) for call in observation.calls),
    )


def _redacted_failure(failure: Failure, redact: Redactor) -> Failure:
    texts = {name: redact(text, name) for name in ("message", "cause", "mend") if (text := getattr(failure, name))}
    return msgspec.structs.replace(failure, **texts)


def _redacted_tool_call(call: ToolCall, redact: Redactor) -> ToolCall:
    return msgspec.structs.replace(
        call,
        arguments=_redacted_values(call.arguments, redact, named=True),
        result=_redacted_values(call.result, redact),
        error=None if call.error is None else redact(call.error, "error"),
        failed=redact(call.failed, "failed") if call.failed else call.failed,
        beside=_redacted_values(call.beside, redact, named=True) if call.beside else {},
    )


def _redacted_outcome(outcome: Outcome, redact: Redactor) -> Outcome:
    replace = msgspec.structs.replace

    def hit(original: Hit) -> Hit:
        return replace(original, text=None if original.text is None else redact(original.text, "text"))

    return replace(
        outcome,
        answer=None if outcome.answer is None else redact(outcome.answer, "answer"),
        hits=tuple(map(hit, outcome.hits)),
        tool_calls=tuple(_redacted_tool_call(call, redact) for call in outcome.tool_calls),
        value=_redacted_values(outcome.value, redact),
    )


def _redacted_values(value: Any, redact: Redactor, *, named: bool = False) -> Any:
    """Any value, encoded where msgpack lacks its type; `named`: the keys of a mapping are names of arguments."""
    within: Callable[[Any, Redactor, str], Any] = _redacted_fields if named else redacted
    try:
        if type(value) is msgspec.msgpack.Ext:
            return within(value, redact, "")
        return decode_raw(encode(within(decode_raw(codec.freeze(value)), redact, "")))
    except CodecError:
        return DROPPED
