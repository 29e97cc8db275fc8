"""Drafts become the frames that they stand for."""

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import shadoweval
from shadoweval import codec
from shadoweval.capture.wire.drafts import finished, is_draft
from shadoweval.errors import CorruptFrameError
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport
from shadoweval.records import Envelope
from shadoweval.transport import SpoolReceiver, SpoolTransport

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_456, tzinfo=UTC)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class Drafts(Transport):
    """A transport whose readers finish drafts."""

    drafts = True

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def offer(self, frame: bytes) -> str | None:
        self.kept.append(frame)
        return None

    def close(self) -> None:
        """Nothing to let go of."""


class Frames(Drafts):
    """A transport that knows frames only."""

    drafts = False


@shadoweval.tool(effect="read")
def look(key: str, extra: Any = None) -> Any:
    return {"key": key, "extra": extra}


@shadoweval.retriever
def find(question: str) -> list[dict[str, Any]]:
    return [{"id": "a", "score": 0.5, "text": question}, {"id": "b", "score": 0.25, "text": "b"}]


def told(transport: Drafts, pipeline: Any, *args: Any, **options: Any) -> Envelope:
    """The envelope of one mirrored call."""
    Mirror("drafts", transport, control=0.0, clock=lambda: NOON, **options)(pipeline)(*args)
    return codec.decode_envelope(finished(transport.kept[-1]))


def same(one: Envelope, other: Envelope) -> bool:
    """All but ids and durations."""
    left, right = one.served, other.served
    queries = [(q.text, q.inputs, q.entry, q.attributes, q.unit, q.asked_at, q.salt) for q in (one.query, other.query)]
    calls = [[(c.name, c.arguments, c.result, c.error, c.occurrence) for c in run.tool_calls] for run in (left, right)]
    steps = [[(s.kind, s.name, s.error, s.index, s.parent) for s in run.steps] for run in (left, right)]
    ends = [(run.outcome and run.outcome.value, run.outcome and run.outcome.answer) for run in (left, right)]
    return (
        queries[0] == queries[1]
        and calls[0] == calls[1]
        and steps[0] == steps[1]
        and ends[0] == ends[1]
        and left.failure == right.failure
        and left.hits == right.hits
    )


@given(question=DATA, first=DATA, second=DATA, value=DATA)
def test_a_draft_says_what_the_frame_says(question: Any, first: Any, second: Any, value: Any) -> None:
    """Whatever is asked, given to tools and returned: a transport that takes drafts gets the same records."""

    def pipeline(_question: Any) -> Any:
        find("q")
        look("k", first)
        look("k", second)
        look("k", first)
        return value

    assert same(told(Drafts(), pipeline, question), told(Frames(), pipeline, question))


def test_only_transports_that_ask_for_drafts_get_them() -> None:
    """Others get frames as documented."""
    drafts, frames = Drafts(), Frames()
    told(drafts, lambda question: question, "q")
    told(frames, lambda question: question, "q")
    assert is_draft(drafts.kept[0])
    assert frames.kept[0][:2] == b"SE"


def test_what_is_redacted_never_leaves_as_a_draft() -> None:
    """The redactor sees the whole frame."""
    drafts = Drafts()
    told(drafts, lambda question: question, "q", redact=lambda text, key: text)
    assert not is_draft(drafts.kept[0])


@pytest.mark.parametrize("parts", [4, 5, 6])
def test_drafts_of_earlier_versions_are_read_as_before(parts: int) -> None:
    """They say neither definition nor names of arguments, and wait in spools while an application is deployed."""
    drafts = Drafts()
    told(drafts, lambda question: question, "q")
    draft = msgspec.msgpack.decode(drafts.kept[0])
    draft[1] = draft[1][:parts]
    envelope = codec.decode_envelope(finished(msgspec.msgpack.encode(draft)))
    assert (envelope.query.text, envelope.definition) == ("q", "")


def test_a_frame_stays_as_it_is() -> None:
    """Whatever does not begin as a draft does is none."""
    for frame in (b"", b"SE\x01\x93", b"\xdc\x00\x14\xc4", b"anything"):
        assert finished(frame) is frame


def test_a_damaged_draft_is_set_aside(tmp_path: Path) -> None:
    """Cut or overwritten anywhere it is a frame like another, or corrupt; the others of its batch are read."""
    transport = SpoolTransport(tmp_path)
    drafts = Drafts()
    told(drafts, lambda question: {"answer": look(question)["key"]}, "q")
    whole = drafts.kept[0]
    transport.offer(whole[:-1])
    transport.offer(whole)
    transport.close()
    batch = SpoolReceiver(tmp_path).receive(10)
    assert batch is not None
    assert [codec.decode_envelope(frame).query.text for frame in batch.frames] == ["q"]
    assert [damaged for damaged, _ in batch.corrupt] == [whole[:-1]]


@example(at=1422, byte=b"\0")
@settings(max_examples=300)
@given(at=st.integers(9, 10_000), byte=st.binary(min_size=1, max_size=1))
def test_a_draft_with_a_wrong_byte_raises_only_what_is_documented(at: int, byte: bytes) -> None:
    """A frame that can't be decoded is found by whoever decodes it."""
    drafts = Drafts()
    told(drafts, lambda question: {"answer": look(question)["key"]}, "q")
    whole = bytearray(drafts.kept[0])
    whole[at % (len(whole) - 9) + 9 : at % (len(whole) - 9) + 10] = byte
    with contextlib.suppress(CorruptFrameError):
        finished(bytes(whole))


def test_a_clock_is_kept_to_the_microsecond() -> None:
    """The time of day goes as a number of seconds; what a clock gives comes back."""
    assert told(Drafts(), lambda question: question, "q").query.asked_at == NOON
    before = datetime.now(UTC)
    drafts = Drafts()
    Mirror("drafts", drafts, control=0.0)(lambda question: question)("q")
    asked_at = codec.decode_envelope(finished(drafts.kept[0])).query.asked_at
    assert abs((asked_at - before).total_seconds()) < 10


def test_a_value_nested_deeper_than_is_read_here_is_set_aside() -> None:
    """The request path may have had more of the stack left than its reader has."""
    drafts = Drafts()
    told(drafts, lambda question: {"answer": "a", "marker": "zzz"}, "q")
    whole = drafts.kept[0]
    at = whole.index(b"\xa3zzz")
    with pytest.raises(CorruptFrameError):
        finished(whole[:at] + b"\x91" * 100_000 + whole[at:])
