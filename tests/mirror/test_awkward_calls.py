"""Calls that outlive themselves, are huge, hold what can't be copied, or meet a slow way out."""

import asyncio
import os
import threading
import time
import tracemalloc
from typing import Any

import pytest

from shadoweval.capture import record_model_call, retriever, tool
from shadoweval.capture.interception import installed
from shadoweval.capture.wire.drafts import finished
from shadoweval.codec import decode_envelope, thaw
from shadoweval.counters import Counters
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport


class Kept(Transport):
    """Keeps what it is offered."""

    drafts = True

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def offer(self, frame: bytes) -> str | None:
        self.frames.append(frame)
        return None

    @property
    def envelopes(self) -> list[Any]:
        return [decode_envelope(finished(frame)) for frame in self.frames]


def mirror_to(transport: Any, **options: Any) -> Mirror:
    return Mirror("awkward", transport, **{"control": 0.0, **options})


def counts(mirror: Mirror) -> dict[str, int]:
    return mirror.outlet.ledger.main.snapshot()


@pytest.mark.parametrize("control", [0.0, 1.0])
@pytest.mark.asyncio
async def test_what_a_call_started_is_no_part_of_it_once_it_is_over(control: float) -> None:
    """A queue's consumer that the first call starts serves later calls: they are queries of their own."""
    kept = Kept()
    outer, inner = mirror_to(kept, control=control), mirror_to(kept)
    queue: asyncio.Queue[Any] = asyncio.Queue()
    consumers: list[asyncio.Task[None]] = []

    @inner
    async def one(question: str) -> str:
        return question

    async def consume() -> None:
        while True:
            question, answer = await queue.get()
            answer.set_result(await one(question))

    @outer
    async def first(question: str) -> str:
        consumers.append(asyncio.create_task(consume()))
        return await asked(question)

    async def asked(question: str) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        queue.put_nowait((question, answer))
        return await answer

    assert await first("a") == "a"
    assert counts(inner) == {"eligible": 1, "nested": 1}
    for _ in range(5):
        assert await asked("b") == "b"
    consumers[0].cancel()
    assert counts(inner) == {"eligible": 6, "nested": 1, "mirrored": 5}


def test_streams_and_failures_are_in_the_overhead_histograms() -> None:
    """What mirroring costs is known for every kind of call, and for control calls alike."""
    for control, which in ((1.0, "control"), (0.5, "mirrored")):
        mirror = mirror_to(Kept(), control=control)

        @mirror
        def stream(question: str) -> Any:
            yield question

        @mirror
        def fails(question: str) -> Any:
            raise KeyError(question)

        for _ in range(50):
            assert list(stream("q")) == ["q"]
            with pytest.raises(KeyError):
                fails("q")
        timed = getattr(mirror.outlet.ledger, which).snapshot()
        told = counts(mirror)
        assert sum(timed.values()) == told["control" if which == "control" else "mirrored"]


@pytest.mark.parametrize("given", [lambda question, db: {"question": question}, lambda question, db: question])
def test_arguments_that_cannot_be_copied_are_left_out(given: Any) -> None:
    """`inputs` says what a candidate is called with; the incumbent gets all of it."""
    kept = Kept()

    @mirror_to(kept, inputs=given)
    def answer(question: str, db: Any) -> str:
        return f"{question} {type(db).__name__}"

    assert answer("why", threading.Lock()) == "why lock"
    (envelope,) = kept.envelopes
    assert envelope.query.text == "why"
    assert thaw(envelope.query.inputs) in [((), {"question": "why"}), (("why",), {})]


def test_a_slow_transport_is_left_alone_for_a_while() -> None:
    """Somebody else's transport that blocks costs a twentieth of the time at most; the loss is counted."""

    class Slow(Transport):
        offered = 0

        def offer(self, frame: bytes) -> str | None:
            self.offered += 1
            time.sleep(0.2)
            return None

    slow = Slow()
    mirror = mirror_to(slow)

    @mirror
    def answer(question: str) -> str:
        return question

    assert [answer("q") for _ in range(50)] == ["q"] * 50
    assert slow.offered == 1
    assert counts(mirror) == {"eligible": 50, "mirrored": 1, "transport_error": 49}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_beside_busy_threads_counts_on() -> None:
    """A lock that another thread holds while the process forks is not held in the child."""
    mirror = mirror_to(Kept())

    @mirror
    def answer(question: str) -> str:
        return question

    answer("q")
    mirror.outlet._lock.acquire()
    mirror.outlet._own._lock.acquire()
    child = os.fork()
    if child == 0:
        mirror.outlet._lock.acquire()
        mirror.outlet._own.count("mirrored")
        os._exit(7)
    end = time.monotonic() + 60
    while (told := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end:
            os.kill(child, 9)
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(told[1]) == 7


def test_huge_values_are_not_copied_to_be_thrown_away() -> None:
    """An answer and an argument of 50 MB: no copy of that size is made, the record is cut, the caller has all."""
    kept = Kept()
    huge = "x" * (50 << 20)

    @tool(effect="read")
    def store(text: str) -> int:
        return len(text)

    @mirror_to(kept)
    def answer(question: str) -> Any:
        store(huge)
        return huge if question == "text" else {"answer": "a", "rest": [huge]}

    answer("warm")
    kept.frames.clear()
    tracemalloc.start()
    try:
        assert answer("text") is huge
        assert answer("mapping")["rest"] == [huge]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20
    text, mapping = (envelope.served.outcome for envelope in kept.envelopes)
    assert text.truncated
    assert len(text.answer) == 1 << 20
    assert mapping.truncated
    assert (mapping.answer, mapping.value) == ("a", None)


def test_a_returned_generator_has_the_hits_that_its_caller_took() -> None:
    """A retriever that returns a generator: its caller consumes it, and its chunks are the hits, as those of a list."""
    kept = Kept()

    @retriever
    def find(question: str) -> Any:
        return (word for word in question.split())

    @mirror_to(kept)
    def answer(question: str) -> str:
        return " ".join(find(question))

    assert answer("two words") == "two words"
    assert [hit.text for hit in kept.envelopes[0].served.outcome.hits] == ["two", "words"]


def test_half_an_emoji_loses_nothing_but_itself() -> None:
    """A lone surrogate at the end of a model's tokens, or in a document, is no text; the rest of the call is kept."""
    kept = Kept()

    @retriever
    def find(question: str) -> Any:
        return [{"id": "a", "score": 1.0, "text": "doc \ud83d"}]

    @mirror_to(kept)
    def answer(question: str) -> str:
        find(question)
        return "fine \ud83d"

    answer("q")
    outcome = kept.envelopes[0].served.outcome
    assert outcome.answer == "fine ?"
    assert outcome.hits[0].text == "doc ?"


def test_an_observer_that_raises_costs_nothing() -> None:
    """It is told when all is done: the call is mirrored, and its caller feels nothing."""
    mirror = mirror_to(Kept(), observe=lambda *_, **__: 1 / 0)

    @mirror
    def answer(question: str) -> str:
        return question

    assert answer("q") == "q"
    assert counts(mirror) == {"eligible": 1, "mirrored": 1}


@pytest.mark.parametrize("message", ["half an emoji \ud83d", None])
def test_a_failure_without_a_readable_message_is_mirrored(message: str | None) -> None:
    """Else only the calls that went well would be left."""

    class OddError(Exception):
        def __str__(self) -> str:
            if message is None:
                raise RuntimeError("no text")
            return message

    kept = Kept()
    mirror = mirror_to(kept)

    @mirror
    def answer(question: str) -> str:
        raise OddError

    with pytest.raises(OddError):
        answer("q")
    assert counts(mirror) == {"eligible": 1, "mirrored": 1}
    assert kept.envelopes[0].served.failure.error_type == "OddError"


class Broken:
    """A ledger that can't count."""

    def __init__(self) -> None:
        self.main, self.mirrored, self.control = Counters(), Counters(), Counters()

    def count(self, reason: str) -> None:
        raise OSError(reason)


@pytest.mark.parametrize("control", [0.0, 1.0])
@pytest.mark.parametrize("sample", [0.0, 1e-9, 1.0])
def test_a_ledger_that_can_not_count_reaches_no_caller(sample: float, control: float) -> None:
    """Nor does it leave tools and steps watched."""

    class Uncounted(Kept):
        ledger = Broken()

    mirror = mirror_to(Uncounted(), sample=sample, control=control)
    watching = installed.watching
    assert mirror(lambda question: question)("q") == "q"
    assert installed.watching == watching


def test_a_step_whose_error_can_not_be_encoded_costs_only_the_letter() -> None:
    """A library's error text may end in half an emoji: the call is not lost for it."""
    kept = Kept()

    @mirror_to(kept)
    def answer(question: str) -> str:
        record_model_call("m", error="half an emoji \ud83d")
        return question

    assert answer("q") == "q"
    assert [step.error for step in kept.envelopes[0].served.steps] == ["half an emoji ?"]


@pytest.mark.parametrize("reader", ["iter_content", "iter_bytes"])
def test_a_streamed_http_response_is_left_to_its_caller(reader: str) -> None:
    """What requests and httpx return for `stream=True`: its content is read by whoever asks, and once."""

    class Response:
        @property
        def content(self) -> bytes:
            raise AssertionError("read by the mirror")

    setattr(Response, reader, lambda _self: iter([b"data"]))
    kept = Kept()
    mirror = mirror_to(kept)
    response = mirror(lambda question: Response())("q")
    assert list(getattr(response, reader)()) == [b"data"]
    assert (kept.frames, counts(mirror)) == ([], {"eligible": 1, "uncopyable": 1})


def test_what_stands_in_the_place_of_a_text_is_recorded_as_one() -> None:
    """An SDK's answer without a model's name, an exception given as the error: else the whole query is unreadable."""
    kept = Kept()

    @mirror_to(kept)
    def answer(question: str) -> str:
        record_model_call(None, error=ValueError("half \ud83d"))  # pyright: ignore[reportArgumentType]
        return question

    assert answer("q") == "q"
    (step,) = kept.envelopes[0].served.steps
    assert (step.name, step.error) == ("None", "ValueError: half ?")
