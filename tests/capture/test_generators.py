"""Tools and steps that are generators."""

import asyncio
import inspect
import time
import types
import weakref

import pytest

from shadoweval import codec
from shadoweval.adapters.langchain.recorder_hook import register
from shadoweval.capture import UNCOPYABLE, Recorder, generators, recording, retriever, step, tool
from shadoweval.capture.interception import set_interceptor
from shadoweval.mirror import Mirror
from shadoweval.protocols import StubAnswer
from shadoweval.testing import MemoryTransport


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


def test_a_stream_over_the_cap_is_not_kept():
    """The record says that it has no result: a stub would replay a part of it as if it were all. Nor is it held."""
    with recording(Recorder(max_bytes=10_000)) as recorder:
        list(search("x", limit=1000))
        stream = search("y" * 1000, limit=100)
        for _ in range(20):
            next(stream)
        (watch,) = recorder.streams
        assert not watch.taker.data
    first, second = recorder.parts().tool_calls[0], recorder.parts()
    assert len(first.result) == 1000
    assert not second.truncated
    recorder.close()
    assert "larger than the cap" in recorder.parts().tool_calls[1].result[UNCOPYABLE]
    assert recorder.parts().truncated


def test_chunks_are_noted_as_they_were():
    """Their owner may change them, and their consumer too."""

    @tool(effect="read")
    def rows():
        row = {}
        for n in range(3):
            row["n"] = n
            yield row

    @retriever
    def lists():
        yield [{"id": "a", "text": "A"}]

    parts = recorded(lambda: ([row.pop("n") for row in rows()], [found.clear() for found in lists()]))
    assert parts.tool_calls[0].result == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert [hit.id for hit in parts.hits] == ["a"]


def test_a_chunk_that_can_not_be_looked_at_is_a_fault_of_ours():
    """Its consumer gets it as it is; the mirror counts the call as lost."""

    class Lazy:
        @property
        def __class__(self):
            raise RuntimeError("not yet")

    @retriever
    def odd():
        yield Lazy()

    @tool(effect="read")
    async def aodd():
        yield Lazy()

    with recording(Recorder()) as recorder:
        assert len(list(odd())) == 1
        assert len(asyncio.run(drained(aodd()))) == 1
    assert isinstance(recorder.fault, RuntimeError)


def test_nobody_else_keeps_a_chunk_alive():
    """A consumer that lets go of a large one has room for the next."""

    class Chunk:
        pass

    @step()
    def chunks():
        for _ in range(3):
            yield Chunk()

    def most_alive(stream):
        known, most = [], 0
        for chunk in stream:
            known.append(weakref.ref(chunk))
            del chunk
            most = max(most, sum(one() is not None for one in known))
        return most

    assert most_alive(chunks()) == most_alive(chunks.__wrapped__()) == 0


def test_a_stream_that_is_left_open_is_noted_when_the_run_is_over():
    """With what it gave until then: async ones are closed some time after their consumer left them, or never."""
    sink = MemoryTransport()
    mirror = Mirror("x", sink, control=0.0)
    kept = []

    @mirror
    async def answer(question):
        async for _ in asearch(question):
            break
        async for _ in pages(question):
            break
        async for _ in agenerate(question):
            break
        kept.append(search(question))
        next(kept[0])
        return "done"

    async def run():
        await answer("a b")
        await asyncio.sleep(0)
        kept[0].close()

    asyncio.run(run())
    served = codec.decode_envelope(sink.frames[0]).served
    assert [(call.name, call.result) for call in served.outcome.tool_calls] == [
        ("asearch", ["a b 0"]),
        ("search", ["a b 0"]),
    ]
    assert [hit.id for hit in served.outcome.hits] == ["a"]
    assert [one.name for one in served.steps] == ["asearch", "pages", "agenerate", "search"]


def test_a_langchain_tool_over_a_stream_is_one_call():
    """Noted by the stream itself, when it is consumed."""
    tools = pytest.importorskip("langchain_core.tools")
    chained = tools.StructuredTool.from_function(search, name="search", description="Look.")
    seen = []
    parts = recorded(lambda: (register(), seen.extend(chained.invoke({"query": "x"}))))
    assert seen == ["x 0", "x 1"]
    assert [(call.name, call.result) for call in parts.tool_calls] == [("search", ["x 0", "x 1"])]


def test_a_coroutine_made_of_a_generator_can_be_awaited():
    """`types.coroutine` functions are generator functions too."""

    @step()
    @types.coroutine
    def waits():
        yield from asyncio.sleep(0).__await__()
        return 7

    async def run():
        return await waits()

    assert recorded(lambda: asyncio.run(run())).steps[0].name == "waits"


def test_an_answered_stream_takes_what_is_sent(standing):
    """And gives the next chunk, whatever it was."""
    standing(StubAnswer(answered="replayed", result=[1, 2]))
    stream = search("x")
    assert (next(stream), stream.send("hello")) == (1, 2)


def test_an_endless_stream_may_be_read_live(standing, monkeypatch):
    """Up to a cap."""
    monkeypatch.setattr(generators, "_MOST", 3)
    standing("live", "live")
    assert list(search("x", 10**9)) == ["x 0", "x 1", "x 2"]
    assert asyncio.run(drained(asearch("x", 10**9))) == ["x 0", "x 1", "x 2"]


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


@pytest.mark.parametrize("how", ["function", "coroutine", "async stream", "begun"])
def test_a_stream_that_a_retriever_returns_is_noted_when_it_is_taken(how):
    """As if the retriever were the generator function itself; one that was begun has no hits."""
    documents = [{"id": "d1", "text": "a"}, {"id": "d2", "text": "b"}]

    async def stream():
        for document in documents:
            yield document

    @retriever
    def plain(question):
        found = (document for document in documents)
        if how == "begun":
            next(found)
        return stream() if how == "async stream" else found

    @retriever
    async def awaited(question):
        return (document for document in documents)

    async def taken():
        result = await awaited("q") if how == "coroutine" else plain("q")
        if how == "async stream":
            return [document async for document in result]
        return list(result)

    recorder = Recorder()
    with recording(recorder):
        result = asyncio.run(taken())
    assert result == (documents[1:] if how == "begun" else documents)
    assert [hit.id for hit in recorder.parts().hits] == ([] if how == "begun" else ["d1", "d2"])
    assert [step.kind for step in recorder.parts().steps] == ["retrieval"]
