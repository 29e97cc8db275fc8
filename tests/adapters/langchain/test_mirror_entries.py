"""The calls of entry methods: failures, abandoned streams, what is not mirrored, how chunks are joined."""

import asyncio
import threading

import pytest
from langchain_core.runnables import (
    RunnableGenerator,
    RunnableLambda,
)
from langchain_core.runnables.utils import AddableDict
from langgraph.graph import START, StateGraph

from shadoweval.adapters.langchain import mirrored
from shadoweval.capture.interception import installed
from shadoweval.protocols import Transport
from tests.adapters.langchain.runnables import (
    MADE,
    SYNC,
    BoomError,
    State,
    build_chain,
    build_graph,
    clean,
    drive,
    model,
)


@pytest.mark.parametrize("how", [*SYNC, "ainvoke", "astream", "abatch"])
@pytest.mark.parametrize("kind", ["graph", "lambda"])
def test_an_exception_is_the_same_object_and_a_failure(kind, how, kept, mirror):
    """What the runnable raises reaches the caller unchanged, and is recorded with the step it came from."""
    error = BoomError("broken")

    def boom(asked):
        raise error

    if kind == "graph":
        builder = StateGraph(State)
        builder.add_node("boom", boom)
        builder.add_edge(START, "boom")
        built = builder.compile()
    else:
        built = RunnableLambda(boom)
    with pytest.raises(BoomError) as caught:
        drive(mirrored(built, mirror), how, ["x"])
    assert caught.value is error
    failure = kept.only.served.failure
    assert (failure.kind, failure.error_type, failure.message, failure.step) == ("error", "BoomError", "broken", "boom")
    assert clean()


@pytest.mark.parametrize("kind", MADE)
def test_an_abandoned_stream_is_aborted(kind, kept, mirror, counted):
    """Closed after its first chunk, sync or async, a stream is one aborted query, and nothing stays open."""
    runnable = mirrored(MADE[kind][0](), mirror)

    async def run():
        chunks = runnable.astream({"q": "x"})
        await anext(chunks)
        assert clean()
        await chunks.aclose()
        assert clean()

    asyncio.run(run())
    chunks = runnable.stream({"q": "x"})
    next(chunks)
    assert clean()
    chunks.close()
    assert clean()
    assert [envelope.served.failure.kind for envelope in kept.envelopes] == ["aborted", "aborted"]
    assert counted(mirror) == {"eligible": 2, "mirrored": 2}
    assert not runnable.config["callbacks"][0].runs


def test_a_cancelled_run_is_aborted(kept, mirror):
    """Cancellation reaches the node, and the query says that its caller went away."""
    reached, waiting = [], asyncio.Event()

    async def wait(state):
        waiting.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            reached.append(True)
            raise

    builder = StateGraph(State)
    builder.add_node("wait", wait)
    builder.add_edge(START, "wait")
    graph = mirrored(builder.compile(), mirror)

    async def run():
        task = asyncio.create_task(graph.ainvoke({"q": "x"}))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert reached == [True]
    assert kept.only.served.failure.kind == "aborted"


def test_control_and_unsampled_calls_are_left_alone(kept, mirror_with, counted):
    """A control call and one outside the sample record nothing, and what is mirrored inside a control call is not."""
    inner = mirror_with()
    chain = mirrored(build_chain(), inner)
    for options, expected, nested in (({"control": 1.0}, "control", "nested"), ({"sample": 0.0}, "off", "mirrored")):
        mirror = mirror_with(**options)
        outer = RunnableLambda(lambda asked: asked) | RunnableLambda(lambda asked: chain.invoke(asked))
        before = counted(inner).get(nested, 0)
        assert mirrored(outer, mirror).invoke({"q": "x"}) == "one two three"
        assert counted(mirror) == {"eligible": 1, expected: 1}
        assert counted(inner)[nested] == before + 1
        assert clean()
    assert len(kept.frames) == 1


def test_what_can_not_be_copied_is_not_mirrored(kept, mirror, counted):
    """An input that can't become bytes is counted, and the run goes on as it would."""
    lock = threading.Lock()
    assert mirrored(RunnableLambda(lambda asked: asked["q"]), mirror).invoke({"q": "x", "lock": lock}) == "x"
    assert counted(mirror) == {"eligible": 1, "uncopyable": 1}
    assert not kept.frames


def test_a_broken_transport_reaches_nobody(mirror_with, counted):
    """A transport that fails costs the query, never the run."""

    class Broken(Transport):
        def offer(self, frame):
            raise OSError("disk")

        def close(self):
            """Nothing to close."""

    from shadoweval.mirror import Mirror

    mirror = Mirror("support", Broken(), control=0.0)
    assert drive(mirrored(build_graph(), mirror), "astream", ["x"])
    assert counted(mirror) == {"eligible": 1, "fault_offer": 1}


def test_an_experiments_own_reading_sees_what_a_call_returns(kept, mirror_with):
    """`outcome=` gets a graph's final state, called or streamed; a chain's text likewise."""
    seen = []
    graph = mirrored(build_graph(), mirror_with(outcome=lambda state: seen.append(state) or state["answer"]))
    drive(graph, "invoke", ["x"])
    drive(graph, "astream", ["x"])
    assert seen == [{"q": "x", "answer": "X!"}] * 2
    assert [envelope.served.outcome.answer for envelope in kept.envelopes] == ["X!", "X!"]
    assert [envelope.served.outcome.chunks for envelope in kept.envelopes] == [None, 2]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_what_is_not_sampled_runs_without_a_handler(how, mirror_with, counted):
    """A call that is not mirrored gets no callbacks of ours, in a graph and in a chain."""
    seen = []

    def look(asked, config):
        seen.append(list(getattr(config["callbacks"], "handlers", config["callbacks"] or [])))
        return {"answer": asked["q"]}

    builder = StateGraph(State)
    builder.add_node("look", look)
    builder.add_edge(START, "look")
    mirror = mirror_with(sample=0.0)
    for built in (builder.compile(), RunnableLambda(look)):
        drive(mirrored(built, mirror), how, ["x"])
    assert seen == [[], []]
    assert counted(mirror) == {"eligible": 2, "off": 2}


@pytest.mark.parametrize("how", ["stream", "astream"])
@pytest.mark.parametrize("kind", ["model", "dicts", "mixed"])
def test_a_streams_chunks_are_joined_as_langchain_joins_them(kind, how, kept, mirror):
    """Message chunks become one message, mappings one mapping; what can't be added has no value."""

    def dicts(asked):
        yield AddableDict(a="1")
        yield AddableDict(a="2")

    def mixed(asked):
        yield {"a": 1}
        yield {"b": 2}

    async def adicts(asked):
        for chunk in dicts(asked):
            yield chunk

    async def amixed(asked):
        for chunk in mixed(asked):
            yield chunk

    twins = {"dicts": (dicts, adicts), "mixed": (mixed, amixed)}
    built = model() if kind == "model" else RunnableGenerator(*twins[kind])
    runnable = mirrored(built, mirror)

    async def run():
        return [chunk async for chunk in runnable.astream("x")]

    chunks = asyncio.run(run()) if how == "astream" else list(runnable.stream("x"))
    outcome = kept.only.served.outcome
    assert outcome.chunks == len(chunks) > 1
    if kind == "model":
        assert outcome.answer == "one two three"
    else:
        assert outcome.value == ({"a": "12"} if kind == "dicts" else None)


def test_a_consumers_own_exception_is_no_failure_of_the_run(kept, mirror):
    """What a consumer throws into a stream closes it: the query is aborted, and the exception is the consumer's."""
    chunks = mirrored(build_graph(), mirror).stream({"q": "x"})
    next(chunks)
    with pytest.raises(BoomError):
        chunks.throw(BoomError("mine"))
    assert clean()
    assert kept.only.served.failure.kind == "aborted"


@pytest.mark.parametrize("how", ["stream", "astream"])
def test_a_control_stream_ends(how, mirror_with, counted):
    """Its duration is counted, and nobody watches tools for it any more."""
    mirror = mirror_with(control=1.0)
    watching = installed.watching
    drive(mirrored(build_chain(), mirror), how, [{"q": "x"}])
    assert counted(mirror) == {"eligible": 1, "control": 1}
    assert sum(mirror.outlet.ledger.control.snapshot().values()) == 1
    assert installed.watching == watching
