"""What a mirrored call's envelope holds."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from shadoweval import codec
from shadoweval.capture import outcome_of, record_model_call, retriever, tool
from shadoweval.mirror import Mirror
from shadoweval.records import Outcome


@dataclass
class Turn:
    """A value that must be copied, not referred to."""

    words: list[str]


def test_the_input_is_as_it_was_before_the_incumbent_ran(mirror: Mirror, kept: Any) -> None:
    """An incumbent that changes its arguments does not change the copy."""

    @mirror
    def answer(turn: Turn, history: list[str], *, facts: dict[str, Any]) -> str:
        turn.words.append("changed")
        history.clear()
        facts["new"] = True
        return "done"

    answer(Turn(["hello"]), ["a", "b"], facts={"k": (1, 2)})
    assert codec.thaw(kept.only.query.inputs) == ((Turn(["hello"]), ["a", "b"]), {"facts": {"k": (1, 2)}})


def test_the_envelope_says_who_asked_what_when(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """Unit, attributes, text, time, bucket, salt and versions are the query's."""
    noon = datetime(2026, 1, 2, 12, tzinfo=UTC)
    mirror = mirror_with(
        unit=lambda question, user: user,
        attributes=lambda question, user: {"plan": "pro"},
        text=lambda question, user: question.upper(),
        clock=lambda: noon,
        versions={"prompt": "7"},
        salt="s",
    )
    mirror(lambda question, user: question)("hi", "ann")
    query, served = kept.only.query, kept.only.served
    assert (query.unit, query.attributes, query.text, query.asked_at, query.salt) == (
        "ann",
        {"plan": "pro"},
        "HI",
        noon,
        "s",
    )
    assert query.bucket == int(__import__("hashlib").sha256(b"s:ann").hexdigest()[:16], 16) / 2**64
    assert (served.query_id, served.arm, served.place, served.versions) == (
        query.id,
        "incumbent",
        "served",
        {"prompt": "7"},
    )


def test_the_frame_is_what_the_codec_writes(mirror: Mirror, kept: Any) -> None:
    """The short road gives an envelope that the codec reads, writes and reads again as the same."""

    @tool(effect="write")
    def book(day: str, hours: list[int]) -> dict[str, Any]:
        return {"ok": True, "at": [1, 2]}

    @retriever
    def find(question: str) -> list[dict[str, Any]]:
        return [{"id": "d", "text": "t", "score": 0.5}]

    @mirror
    def answer(question: str) -> dict[str, Any]:
        find(question)
        book("mon", [9, 10])
        record_model_call("m", input_tokens=3, output_tokens=4, cost_usd=0.1)
        return {"answer": "booked", "n": 1}

    answer("q")
    envelope = kept.only
    assert codec.decode_envelope(codec.encode_envelope(envelope)) == envelope
    served = envelope.served
    assert served.outcome is not None
    assert served.outcome.answer == "booked"
    assert served.outcome.value == {"answer": "booked", "n": 1}
    assert [hit.id for hit in served.hits] == ["d"]
    (call,) = served.tool_calls
    assert (call.name, call.arguments, call.result, call.effect) == (
        "book",
        {"day": "mon", "hours": [9, 10]},
        {"ok": True, "at": [1, 2]},
        "write",
    )
    assert [step.kind for step in served.steps] == ["retrieval", "tool", "model"]
    assert (served.usage.input_tokens, served.usage.output_tokens, served.usage.cost_usd) == (3, 4, 0.1)


class Message:
    """Looks like a LangChain message."""

    def __init__(self, content: Any) -> None:
        self.content = content


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("text", "text"),
        ({"answer": "a", "output": "o"}, "a"),
        ({"output": "o"}, "o"),
        ({"content": "c"}, "c"),
        ({"messages": [Message("first"), Message("last")]}, "last"),
        (Message("m"), "m"),
        (Message([{"type": "text", "text": "a"}, {"type": "image"}, "b"]), "ab"),
        (7, None),
        ({"n": 1}, None),
        (None, None),
    ],
)
def test_the_answer_is_found_in_what_is_returned(mirror: Mirror, kept: Any, value: Any, answer: str | None) -> None:
    """The mirror and `outcome_of`, which candidates use, find the same answer."""
    mirror(lambda question: value)("q")
    assert kept.only.served.outcome.answer == answer == outcome_of(value).answer
    assert kept.only.served.outcome.value == outcome_of(value).value


@pytest.mark.parametrize(
    ("extract", "expected"),
    [
        (lambda value: value["x"], Outcome(answer="deep", value={"x": "deep"})),
        (lambda value: {"answer": "b", "y": 1}, Outcome(answer="b", value={"answer": "b", "y": 1})),
        (lambda value: Outcome(answer="c", truncated=True), Outcome(answer="c", truncated=True)),
    ],
)
def test_an_experiment_may_say_how_to_read_its_outcome(
    mirror_with: Callable[..., Mirror], kept: Any, extract: Callable[[Any], Any], expected: Outcome
) -> None:
    """`outcome=` may give an answer, a mapping, or an outcome."""
    mirror_with(outcome=extract)(lambda question: {"x": "deep"})("q")
    assert kept.only.served.outcome == expected


def test_a_failure_names_its_kind_and_the_step_that_failed(mirror: Mirror, kept: Any) -> None:
    """What the incumbent raised is recorded with what had run until then."""

    @tool(effect="read")
    def look(question: str) -> str:
        raise LookupError("index is down")

    @mirror
    def answer(question: str) -> str:
        return look(question)

    with pytest.raises(LookupError):
        answer("q")
    failure = kept.only.served.failure
    assert (failure.kind, failure.error_type, failure.message, failure.step) == (
        "error",
        "LookupError",
        "index is down",
        "look",
    )
    assert kept.only.served.steps[0].error == "LookupError: index is down"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), "timeout"),
        (MemoryError(), "out_of_memory"),
        (KeyboardInterrupt(), "aborted"),
        (SystemExit(), "error"),
    ],
)
def test_failures_have_kinds(mirror: Mirror, kept: Any, error: BaseException, kind: str) -> None:
    """Every exception of the incumbent passes, and is recorded by kind."""

    @mirror
    def answer(question: str) -> str:
        raise error

    with pytest.raises(type(error)):
        answer("q")
    assert kept.only.served.failure.kind == kind


def test_a_stream_is_captured_whole_with_its_times(mirror: Mirror, kept: Any) -> None:
    """Text of all chunks, their number, seconds to the first and to the last."""

    @mirror
    def stream(question: str):
        for chunk in ("a", "b", "c"):
            time.sleep(0.02)
            yield chunk

    assert list(stream("q")) == ["a", "b", "c"]
    served = kept.only.served
    assert (served.outcome.answer, served.outcome.chunks, served.outcome.value) == ("abc", 3, None)
    assert 0.02 <= served.first_chunk < served.duration
    assert served.duration >= 0.06


def test_a_stream_of_objects_keeps_what_each_chunk_was(mirror: Mirror, kept: Any) -> None:
    """A chunk that its owner changes later is recorded as it was; mixed streams keep their order."""
    chunk = {"text": "a"}

    @mirror
    def stream(question: str):
        yield "0"
        yield chunk
        chunk["text"] = "b"
        yield chunk

    list(stream("q"))
    assert kept.only.served.outcome.value == ["0", {"text": "a"}, {"text": "b"}]
    assert kept.only.served.outcome.answer == "0ab"


def test_a_streams_own_reading_is_the_same_for_both_arms(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """`outcome=` gets the same thing from the mirror and from `outcome_of_chunks`, which candidates use."""
    from shadoweval.capture.chunks import outcome_of_chunks

    def read(chunks: list[Any]) -> dict[str, Any]:
        return {"answer": str(chunks)}

    chunks = [{"n": (1, 2)}, "text", Turn(["a"])]

    @mirror_with(outcome=read)
    def stream(question: str):
        yield from chunks

    list(stream("q"))
    outcome = kept.only.served.outcome
    assert (
        outcome.answer == "[{'n': [1, 2]}, 'text', {'words': ['a']}]" == outcome_of_chunks(chunks, extract=read).answer
    )


def test_a_long_stream_is_cut_in_the_record_only(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """The consumer gets everything; the record is cut at its cap and says so."""

    @mirror_with(max_bytes=1000)
    def stream(question: str):
        for _ in range(100):
            yield "x" * 50

    assert len("".join(stream("q"))) == 5000
    outcome = kept.only.served.outcome
    assert (len(outcome.answer), outcome.chunks, outcome.truncated) == (1000, 100, True)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_consumer_that_goes_away_leaves_an_aborted_query(mirror: Mirror, kept: Any, asynchronous: bool) -> None:
    """An early close is recorded as aborted: such a pair is not scored."""

    @mirror
    def stream(question: str):
        yield "a"
        yield "b"

    @mirror
    async def astream(question: str):
        yield "a"
        yield "b"

    async def leave() -> None:
        made = astream("q")
        await anext(made)
        await made.aclose()

    if asynchronous:
        asyncio.run(leave())
    else:
        made = stream("q")
        next(made)
        made.close()
    assert kept.only.served.failure.kind == "aborted"


def test_a_random_share_is_left_alone_to_compare_with(
    mirror_with: Callable[..., Mirror], kept: Any, counted: Any
) -> None:
    """Control calls are counted, timed beside the mirrored ones, and not mirrored; nor is what they call."""
    mirror = mirror_with(control=0.5)
    inner = mirror(lambda question: question)
    answer = mirror(lambda question: inner(question))
    for n in range(200):
        answer(str(n))
    counts = counted(mirror)
    assert counts["control"] + counts["mirrored"] == 200
    assert counts["nested"] == 200
    assert 60 <= counts["control"] <= 140
    tally = mirror.outlet.ledger
    assert sum(tally.control.snapshot().values()) == counts["control"]
    assert sum(tally.mirrored.snapshot().values()) == counts["mirrored"] == len(kept.frames)  # 2 x 0.5: all are timed


def test_as_many_mirrored_calls_are_timed_as_control_calls(mirror_with: Callable[..., Mirror], counted: Any) -> None:
    """Two random samples of the same size; the other calls don't pay for the clock."""
    mirror = mirror_with(control=0.1)
    answer = mirror(lambda question: question)
    for n in range(2000):
        answer(str(n))
    tally = mirror.outlet.ledger
    control, timed = sum(tally.control.snapshot().values()), sum(tally.mirrored.snapshot().values())
    assert control == counted(mirror)["control"]
    assert 140 <= control <= 260
    assert 140 <= timed <= 260


def test_losses_are_counted_by_the_reason_given(mirror_with: Callable[..., Mirror], kept: Any, counted: Any) -> None:
    """What the traffic hook says, what sampling leaves out, what is off."""
    reasons = iter(["killed", "flag_off", None])
    mirror = mirror_with(decide=lambda unit, attributes: next(reasons))
    answer = mirror(lambda question: question)
    for _ in range(3):
        answer("q")
    assert counted(mirror) == {"eligible": 3, "killed": 1, "flag_off": 1, "mirrored": 1}
    off = mirror_with(sample=0.0)
    off(lambda question: question)("q")
    assert counted(off) == {"eligible": 1, "off": 1}
    few = mirror_with(sample=0.1)
    answer = few(lambda question: question)
    for _ in range(300):
        answer("q")
    counts = counted(few)
    assert 10 <= counts["mirrored"] <= 60
    assert counts["not_sampled"] == 300 - counts["mirrored"]


def test_sampling_goes_by_unit(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """All calls of one user are in, or none."""
    mirror = mirror_with(sample=0.3, unit=lambda question, user: user)
    answer = mirror(lambda question, user: question)
    for n in range(300):
        answer("q", f"user-{n % 30}")
    seen: dict[str, int] = {}
    for envelope in kept.envelopes:
        seen[envelope.query.unit] = seen.get(envelope.query.unit, 0) + 1
    assert seen
    assert set(seen.values()) == {10}


def test_ids_are_unique_and_the_same_for_both_records(mirror: Mirror, kept: Any) -> None:
    """No two calls share an id."""
    answer = mirror(lambda question: question)
    for _ in range(500):
        answer("q")
    assert len({envelope.id for envelope in kept.envelopes}) == 500


def test_in_a_shadow_nothing_is_mirrored_or_counted(mirror: Mirror, kept: Any) -> None:
    """A worker that runs a decorated incumbent again does not feed its own queue."""
    from shadoweval.capture import set_interceptor

    class Stand:
        def answer(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("no tool here")

    answer = mirror(lambda question: question)
    before = set_interceptor(Stand())
    try:
        assert answer("q") == "q"
    finally:
        set_interceptor(before)
    assert kept.frames == []
    assert mirror.outlet.ledger.main.snapshot() == {}
