"""Tools and steps that are generators."""

import asyncio
import inspect
import time

import pytest

from shadoweval.capture import UNCOPYABLE, Recorder, pieces, recording, retriever, step, tool
from shadoweval.capture.interception import set_interceptor
from shadoweval.protocols import StubAnswer


@step("model")
def generate(prompt):
    for word in prompt.split():
        time.sleep(0.02)
        yield word


@step("model")
async def agenerate(prompt):
    for word in prompt.split():
        await asyncio.sleep(0.02)
        yield word


@retriever
def documents(query):
    yield {"id": "a", "text": "A", "score": 0.9}
    yield {"id": "b", "text": "B", "score": 0.5}


@retriever
async def pages(query):
    yield [{"id": "a", "text": "A", "score": 0.9}]
    yield [{"id": "b", "text": "B", "score": 0.5}, {"id": "c", "text": "C", "score": 0.1}]


@tool(effect="read")
def search(query, limit=2):
    for n in range(limit):
        yield f"{query} {n}"


@tool(effect="read")
async def asearch(query, limit=2):
    for n in range(limit):
        yield f"{query} {n}"


@tool(effect="write")
def pay(amount):
    yield "asked"
    return {"paid": amount}


async def drained(stream):
    return [chunk async for chunk in stream]


def recorded(run):
    """What a recording has after `run()`."""
    with recording(Recorder()) as recorder:
        run()
    assert recorder.fault is None
    return recorder.parts()


def returned(stream):
    """Chunks and value of a generator."""
    chunks = []
    while True:
        try:
            chunks.append(next(stream))
        except StopIteration as stop:
            return chunks, stop.value


def test_the_kind_stays():
    """Frameworks go by it."""
    assert all(map(inspect.isgeneratorfunction, (generate, documents, search, pay)))
    assert all(map(inspect.isasyncgenfunction, (agenerate, pages, asearch)))
    assert str(inspect.signature(search)) == "(query, limit=2)"


def test_a_step_lasts_until_its_last_chunk():
    """Sync and async: not until the generator is made."""
    parts = recorded(lambda: (list(generate("a b")), asyncio.run(drained(agenerate("a b")))))
    assert [(one.kind, one.name) for one in parts.steps] == [("model", "generate"), ("model", "agenerate")]
    assert all(one.duration > 0.035 for one in parts.steps)


def test_what_a_retriever_yields_are_its_hits():
    """One by one or in lists."""
    assert [hit.id for hit in recorded(lambda: list(documents("q"))).hits] == ["a", "b"]
    assert [hit.id for hit in recorded(lambda: asyncio.run(drained(pages("q")))).hits] == ["a", "b", "c"]


def test_a_tools_result_is_its_chunks_and_what_it_returned():
    """Chunks alone where it returned nothing."""
    parts = recorded(lambda: (list(search("x", limit=1)), asyncio.run(drained(asearch("y"))), list(pay(2))))
    assert [(call.name, call.arguments, call.result) for call in parts.tool_calls] == [
        ("search", {"query": "x", "limit": 1}, ["x 0"]),
        ("asearch", {"query": "y", "limit": 2}, ["y 0", "y 1"]),
        ("pay", {"amount": 2}, {"chunks": ["asked"], "returned": {"paid": 2}}),
    ]


def test_a_consumer_that_has_had_enough_is_no_failure():
    """What it got until then is the result."""

    def run():
        stream = search("x")
        next(stream)
        stream.close()

    (call,) = recorded(run).tool_calls
    assert (call.result, call.error) == (["x 0"], None)


def test_a_stream_that_raises_is_a_failed_call():
    """In the middle of its chunks."""

    @tool(effect="read")
    def breaks():
        yield 1
        raise ValueError("no")

    def run():
        with pytest.raises(ValueError, match="no"):
            list(breaks())

    (call,) = recorded(run).tool_calls
    assert call.error == "ValueError: no"


def test_a_stream_without_an_end_is_not_kept(monkeypatch):
    """The record says that it has no result, a stub would replay a part of it as if it were all."""
    monkeypatch.setattr(pieces, "_MOST", 3)
    assert recorded(lambda: list(search("x", limit=3))).tool_calls[0].result == ["x 0", "x 1", "x 2"]
    assert recorded(lambda: list(search("x", limit=4))).tool_calls[0].result == {UNCOPYABLE: "more than 3 chunks"}


class Standing:
    """Answers tools in turn."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def answer(self, name, arguments, *, effect, live):
        answer = self.answers.pop(0)
        return StubAnswer(answered="live", result=live()) if answer == "live" else answer


@pytest.fixture
def standing():
    """Installs one."""
    before = set_interceptor(None)
    yield lambda *answers: set_interceptor(Standing(*answers))
    set_interceptor(before)


def test_an_answered_tool_yields_its_answer(standing):
    """As the record has it: chunks, chunks and a value, or one thing that somebody made up."""
    replayed = [["r"], {"chunks": ["asked"], "returned": {"paid": 0}}, ["s", "t"], "alone"]
    standing(*(StubAnswer(answered="replayed", result=each) for each in replayed))
    seen = []

    def run():
        seen.extend((list(search("x")), returned(pay(9)), asyncio.run(drained(asearch("y"))), list(search("z"))))

    calls = recorded(run).tool_calls
    assert seen == [["r"], (["asked"], {"paid": 0}), ["s", "t"], ["alone"]]
    assert [(call.name, call.result, call.answered) for call in calls] == [
        (name, result, "replayed")
        for name, result in zip(("search", "pay", "asearch", "search"), replayed, strict=True)
    ]


def test_an_interceptor_may_run_a_stream_live(standing):
    """All of it, before the first chunk."""
    standing("live", "live", "live")
    seen = []

    def run():
        seen.extend((list(search("x", 1)), returned(pay(9)), asyncio.run(drained(asearch("y", 1)))))

    calls = recorded(run).tool_calls
    assert seen == [["x 0"], (["asked"], {"paid": 9}), ["y 0"]]
    assert [call.result for call in calls] == [["x 0"], {"chunks": ["asked"], "returned": {"paid": 9}}, ["y 0"]]


def test_a_refused_stream_fails_at_its_first_step(standing):
    """As a tool that is a generator would itself."""
    standing(StubAnswer(answered="refused"))
    stream = search("x")
    with pytest.raises(Exception, match="search"):
        next(stream)
