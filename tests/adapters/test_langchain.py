import asyncio
import re
import threading
from typing import Annotated, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableBinding,
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnablePassthrough,
)
from langchain_core.runnables.utils import AddableDict
from langchain_core.tools import tool as lc_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph

from shadoweval import codec
from shadoweval.adapters.langchain import mirrored
from shadoweval.capture import retriever
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import alone
from shadoweval.protocols import Transport

SYNC = ("invoke", "stream", "batch")
ASYNC = ("ainvoke", "astream", "abatch", "astream_events")


class Docs(BaseRetriever):
    def _get_relevant_documents(self, query, *, run_manager):
        return [Document(f"about {query}", id="d1"), Document("other", metadata={"_id": "d2"})]


@retriever
def find(query):
    return [{"id": "plain", "text": query, "score": 1.0}]


class State(TypedDict, total=False):
    q: str
    answer: str


def look_up(state):
    find(state["q"])
    asked, state["q"] = state["q"], "CHANGED"
    return {"answer": asked.upper()}


def build_graph():
    builder = StateGraph(State)
    builder.add_node("look_up", look_up)
    builder.add_node("polish", lambda state: {"answer": state["answer"] + "!"})
    builder.add_edge(START, "look_up")
    builder.add_edge("look_up", "polish")
    builder.add_edge("polish", END)
    return builder.compile()


def model(text="one two three"):
    return GenericFakeChatModel(messages=iter(lambda: AIMessage(text), None))


def build_chain():
    context = RunnablePassthrough.assign(context=RunnableLambda(lambda d: d["q"]) | Docs())
    prompt = ChatPromptTemplate.from_messages([("system", "{context}"), ("human", "{q}")])
    return context | prompt | model() | StrOutputParser()


def shout(asked):
    find(asked["q"])
    text, asked["q"] = asked["q"], "CHANGED"
    return text.upper()


MADE = {
    "graph": (build_graph, ["plain"]),
    "chain": (build_chain, ["d1", "d2"]),
    "lambda": (lambda: RunnableLambda(shout), ["plain"]),
    "branch": (lambda: RunnableBranch((lambda d: "q" in d, RunnableLambda(shout)), RunnableLambda(str)), ["plain"]),
}


def clean():
    return current.get() is None and not alone.get()


def shown(results):
    """Results as text, without the random ids that langchain_core gives to messages."""
    return re.sub(r"lc_run--[0-9a-f-]+", "", str(results))


def drive(runnable, how, questions):
    """What the entry method gives for each question; the caller's context must stay clean between chunks."""
    inputs = [{"q": question} for question in questions]

    async def driven():
        if how == "abatch":
            return await runnable.abatch(inputs)
        found = []
        for asked in inputs:
            if how == "ainvoke":
                found.append(await runnable.ainvoke(asked))
            elif how == "astream":
                chunks = []
                async for chunk in runnable.astream(asked):
                    assert clean()
                    chunks.append(chunk)
                found.append(chunks)
            else:
                events = [event async for event in runnable.astream_events(asked, version="v2")]
                found.append([(event["event"], event["name"], str(event["data"])) for event in events])
            assert clean()
        return found

    if how in ASYNC:
        return asyncio.run(driven())
    if how == "batch":
        return runnable.batch(inputs)
    if how == "invoke":
        return [runnable.invoke(asked) for asked in inputs]
    found = []
    for asked in inputs:
        chunks = []
        for chunk in runnable.stream(asked):
            assert clean()
            chunks.append(chunk)
        found.append(chunks)
    return found


@pytest.mark.parametrize("how", SYNC + ASYNC)
@pytest.mark.parametrize("kind", MADE)
def test_every_entry_method_makes_one_query_for_each_input(kind, how, kept, mirror_with, counted):
    """Each input gives one query with the input as it was, the hits and the outcome; results are as without."""
    build, ids = MADE[kind]
    mirror = mirror_with(text=lambda asked: asked["q"])
    runnable = mirrored(build(), mirror)
    questions = ["first", "second"]
    assert shown(drive(runnable, how, questions)) == shown(drive(build(), how, questions))
    assert clean()
    assert counted(mirror) == {"eligible": 2, "mirrored": 2}
    by_text = {envelope.query.text: envelope for envelope in kept.envelopes}
    for question in questions:
        envelope = by_text[question]
        assert codec.thaw(envelope.query.inputs) == (({"q": question},), {})
        outcome = envelope.served.outcome
        assert [hit.id for hit in outcome.hits] == ids
        if kind == "graph":
            assert outcome.value == {"q": question, "answer": f"{question.upper()}!"}
        else:
            assert outcome.answer == ("one two three" if kind == "chain" else question.upper())
        streamed = how in {"stream", "astream"} or (how == "astream_events" and kind == "graph")
        assert (outcome.chunks is not None) == streamed
        assert (envelope.served.first_chunk is not None) == streamed
        assert envelope.served.steps
    assert not runnable.config["callbacks"][0].runs


def test_a_graph_stays_a_graph(mirror):
    """A compiled graph is one afterwards, with its state, drawing, nodes and copies intact."""
    builder = StateGraph(State)
    builder.add_node("look_up", look_up)
    builder.add_edge(START, "look_up")
    graph = mirrored(builder.compile(checkpointer=InMemorySaver()), mirror)
    assert isinstance(graph, CompiledStateGraph)
    assert type(graph).__name__ == "CompiledStateGraph"
    config = {"configurable": {"thread_id": "t1"}}
    graph.invoke({"q": "a"}, config)
    assert graph.get_state(config).values["answer"] == "A"
    graph.update_state(config, {"answer": "b"})
    assert graph.get_state(config).values["answer"] == "b"
    assert set(graph.get_graph().nodes) == {"__start__", "look_up", "__end__"}
    copy = graph.with_config(tags=["x"])
    assert isinstance(copy, CompiledStateGraph)
    assert copy.config["callbacks"] == graph.config["callbacks"]


def test_other_runnables_become_bindings(kept, mirror):
    """A chain is a RunnableBinding over itself, composes with `|`, and keeps its schemas."""
    chain = build_chain()
    runnable = mirrored(chain, mirror)
    assert isinstance(runnable, RunnableBinding)
    assert runnable.bound is chain
    assert runnable.get_output_jsonschema() == chain.get_output_jsonschema()
    assert (runnable | RunnableLambda(len)).invoke({"q": "x"}) == len("one two three")
    assert len(kept.frames) == 1


def test_inside_a_larger_chain_each_run_is_one_query(kept, mirror):
    """Called, streamed or batched as a part of something larger, a mirrored runnable still sees its own input."""
    larger = RunnableLambda(lambda text: {"q": text}) | mirrored(build_chain(), mirror) | RunnableLambda(len)
    assert larger.invoke("a") == 13
    assert list(larger.stream("b")) == [13]
    assert larger.batch(["c", "d"]) == [13, 13]

    async def run():
        return await larger.ainvoke("e"), [chunk async for chunk in larger.astream("f")]

    assert asyncio.run(run()) == (13, [13])
    asked = sorted(codec.thaw(envelope.query.inputs)[0][0]["q"] for envelope in kept.envelopes)
    assert asked == list("abcdef")


def test_nested_mirrored_runnables_make_one_query(kept, mirror_with, counted):
    """A mirrored chain inside a node of a mirrored graph inside a mirrored function belongs to the function's query."""
    inner, outer, whole = (mirror_with() for _ in range(3))
    chain = mirrored(build_chain(), inner)
    builder = StateGraph(State)
    builder.add_node("ask", lambda state: {"answer": chain.invoke({"q": state["q"]})})
    builder.add_node("sub", mirrored(build_graph(), inner))
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "sub")
    graph = mirrored(builder.compile(), outer)

    @whole
    def answer(question):
        return graph.invoke({"q": question})["answer"]

    graph.invoke({"q": "x"})
    assert (counted(inner), counted(outer)) == ({"eligible": 2, "nested": 2}, {"eligible": 1, "mirrored": 1})
    answer("y")
    assert counted(whole) == {"eligible": 1, "mirrored": 1}
    assert counted(outer) == {"eligible": 2, "mirrored": 1, "nested": 1}
    assert len(kept.frames) == 2
    assert {hit.id for hit in kept.envelopes[0].served.outcome.hits} == {"d1", "d2", "plain"}


class BoomError(Exception):
    pass


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


class Chat(TypedDict):
    messages: Annotated[list, add_messages]


def build_chat(chat_model):
    builder = StateGraph(Chat)
    builder.add_node("model", lambda state: {"messages": [chat_model.invoke(state["messages"])]})
    builder.add_edge(START, "model")
    return builder.compile(checkpointer=InMemorySaver())


def test_a_thread_is_the_unit_and_goes_with_the_input(kept, mirror):
    """Turns of one thread share a unit, and a candidate gets the same thread."""
    graph = mirrored(build_chat(model("hello")), mirror)
    for text in ("hi", "again"):
        graph.invoke({"messages": [HumanMessage(text)]}, {"configurable": {"thread_id": "t7"}})
    first, second = kept.envelopes
    assert first.query.unit == second.query.unit == "t7"
    (asked,), kwargs = codec.thaw(second.query.inputs)
    assert [message.content for message in asked["messages"]] == ["again"]
    assert kwargs == {"config": {"configurable": {"thread_id": "t7"}}}
    assert (second.query.text, second.served.outcome.answer) == ("again", "hello")


def test_readers_get_the_input_and_the_config_where_they_take_it(kept, mirror_with):
    """`unit` with a config parameter, `attributes` without one, `text` with any keyword: all are called."""
    mirror = mirror_with(
        unit=lambda asked, config=None: f"u-{config['configurable']['thread_id']}",
        attributes=lambda asked: {"turns": len(asked["messages"])},
        text=lambda asked, **_rest: asked["messages"][0].content.upper(),
    )
    graph = mirrored(build_chat(model()), mirror)
    graph.invoke({"messages": [HumanMessage("hi")]}, {"configurable": {"thread_id": "t"}})
    query = kept.only.query
    assert (query.unit, query.attributes, query.text) == ("u-t", {"turns": 1}, "HI")


def test_models_tools_and_tokens_are_recorded(kept, mirror):
    """An agent's model calls, tool calls with results, failures of tools and tokens are in the record."""

    @lc_tool
    def weather(city: str) -> str:
        """Weather of a city."""
        if city == "nowhere":
            raise BoomError("no such city")
        return f"sunny in {city}"

    usage = {"input_tokens": 11, "output_tokens": 3, "total_tokens": 14}
    replies = iter([AIMessage("it is sunny", usage_metadata=usage) for _ in range(2)])
    chat = GenericFakeChatModel(messages=replies)

    def act(asked):
        found = [weather.invoke({"city": asked["q"]})]
        try:
            weather.invoke({"city": "nowhere"})
        except BoomError:
            found.append("none")
        return chat.invoke(str(found)).content

    runnable = mirrored(RunnableLambda(act), mirror)
    assert runnable.invoke({"q": "Oslo"}) == "it is sunny"
    served = kept.only.served
    good, bad = served.outcome.tool_calls
    assert (good.name, good.arguments, good.result, good.error) == ("weather", {"city": "Oslo"}, "sunny in Oslo", None)
    assert (bad.arguments, bad.error) == ({"city": "nowhere"}, "BoomError: no such city")
    assert (served.usage.input_tokens, served.usage.output_tokens) == (11, 3)
    assert [step.kind for step in served.steps if step.kind != "other"] == ["tool", "tool", "model"]


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream", "batch", "abatch"])
def test_bare_models_retrievers_and_tools_are_mirrored(how, kept, mirror, counted):
    """What is no chain has events of its own kind; each call is one query all the same."""

    @lc_tool
    def double(number: int) -> int:
        """Twice a number."""
        return 2 * number

    for runnable, asked in ((model(), "hello"), (Docs(), "lists"), (double, {"number": 2})):
        mine = mirrored(runnable, mirror)

        async def run(mine=mine, asked=asked):
            if how == "astream":
                return [chunk async for chunk in mine.astream(asked)]
            return await (mine.abatch([asked]) if how == "abatch" else mine.ainvoke(asked))

        if how.startswith("a"):
            asyncio.run(run())
        elif how == "batch":
            mine.batch([asked])
        else:
            list(mine.stream(asked)) if how == "stream" else mine.invoke(asked)
    chat, docs, twice = (envelope.served.outcome for envelope in kept.envelopes)
    assert chat.answer == "one two three"
    assert [hit.id for hit in docs.hits] == ["d1", "d2"]
    assert twice.value == 4
    assert counted(mirror) == {"eligible": 3, "mirrored": 3}


def test_callers_callbacks_and_configs_still_work(kept, mirror):
    """Handlers, tags and run names that a caller passes reach the run beside the mirror's."""
    seen = []

    class Listener(BaseCallbackHandler):
        def on_chain_start(self, serialized, inputs, **facts):
            seen.append((facts["name"], facts["tags"]))

    mirrored(build_chain(), mirror).invoke({"q": "x"}, {"callbacks": [Listener()], "run_name": "mine", "tags": ["t"]})
    assert seen[0] == ("mine", ["t"])
    assert len(kept.frames) == 1


def test_runs_that_cut_the_callbacks_stay_in_their_call(kept, mirror, counted):
    """A node that runs a chain with callbacks of its own makes no second query, and its hits are kept."""

    def cut(asked):
        return len(Docs().invoke(asked["q"], {"callbacks": []}))

    runnable = RunnableLambda(lambda asked: asked) | RunnableLambda(cut)
    assert mirrored(runnable, mirror).invoke({"q": "x"}) == 2
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}
    assert [hit.id for hit in kept.only.served.outcome.hits] == ["d1", "d2"]


def test_concurrent_runs_keep_apart(kept, mirror, counted):
    """Threads and tasks that call one mirrored graph at once each get a query with their own hits and answer."""
    graph = mirrored(build_graph(), mirror)
    threads = [threading.Thread(target=graph.invoke, args=({"q": f"t{n}"},)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    async def run():
        await asyncio.gather(*(graph.ainvoke({"q": f"a{n}"}) for n in range(16)))

    asyncio.run(run())
    assert counted(mirror) == {"eligible": 24, "mirrored": 24}
    for envelope in kept.envelopes:
        (asked,), _ = codec.thaw(envelope.query.inputs)
        assert [hit.text for hit in envelope.served.outcome.hits] == [asked["q"]]
        assert envelope.served.outcome.value["answer"] == f"{asked['q'].upper()}!"


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


def test_a_fault_of_the_capture_is_counted(mirror, counted, monkeypatch):
    """What goes wrong in writing an event down costs the query, not the run, and is counted."""

    def broken(documents):
        raise LookupError("broken")

    monkeypatch.setattr("shadoweval.adapters.langchain.recorder_handler.recorded_rows", broken)
    assert mirrored(build_chain(), mirror).invoke({"q": "x"}) == "one two three"
    assert counted(mirror) == {"eligible": 1, "fault_snapshot": 1}


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream", "batch"])
@pytest.mark.parametrize("kind", ["graph", "chain", "lambda"])
def test_named_nodes_are_steps_and_chain_links_are_not(kind, how, kept, mirror):
    """A graph's nodes are steps with what ran inside; links of a chain are none, whichever method runs it."""
    if kind == "graph":
        chain = build_chain()
        builder = StateGraph(State)
        builder.add_node("ask", lambda state: {"answer": chain.invoke({"q": state["q"]})})
        builder.add_edge(START, "ask")
        built = builder.compile()
    else:
        built = MADE[kind][0]()
    drive(mirrored(built, mirror), how, ["x"])
    steps = {step.kind: step for step in kept.only.served.steps}
    expected = {"retrieval", "model"} if kind != "lambda" else {"retrieval"}
    assert set(steps) == expected | ({"other"} if kind == "graph" else set())
    assert len(steps) == len(kept.only.served.steps)
    if kind == "graph":
        assert steps["other"].name == "ask"
        assert steps["model"].parent == steps["retrieval"].parent == steps["other"].index


def failing_graph(where):
    """A graph inside a node; what is inside its own node fails."""

    def broken(_):
        raise BoomError("broken")

    class Down(BaseRetriever):
        def _get_relevant_documents(self, query, *, run_manager):
            raise BoomError("broken")

    links = RunnableLambda(str) | RunnableLambda(broken)
    fails = {
        "node": lambda state: broken(state),
        "node after a retrieval": lambda state: broken(Docs().invoke(state["q"])),
        "link": lambda state: links.invoke(state["q"]),
        "retriever": lambda state: Down().invoke(state["q"]),
    }
    inner = StateGraph(State)
    inner.add_node("look_up", fails[where])
    inner.add_edge(START, "look_up")
    outer = StateGraph(State)
    outer.add_node("part", inner.compile())
    outer.add_edge(START, "part")
    return outer.compile()


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize(
    ("where", "step", "failed"),
    [
        ("node", "look_up", ["look_up"]),
        ("node after a retrieval", "look_up", ["look_up", "part"]),
        ("link", "broken", ["broken"]),
        ("retriever", "Down", ["Down", "look_up", "part"]),
    ],
)
def test_a_failure_has_its_place_in_a_graph(where, step, failed, how, kept, mirror):
    """The innermost step that failed is named first, whether it is a node, a link or a retriever; then those around."""
    with pytest.raises(BoomError):
        drive(mirrored(failing_graph(where), mirror), how, ["x"])
    served = kept.only.served
    assert served.failure.step == step
    assert [found.name for found in served.steps if found.error == "BoomError: broken"] == failed
    by_name = {found.name: found for found in served.steps}
    if "part" in failed:
        assert by_name["look_up"].parent == by_name["part"].index
        assert by_name["part"].parent is None
        assert by_name["part"].started <= by_name["look_up"].started
        assert by_name["part"].duration >= by_name["look_up"].duration


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_where_links_can_not_be_told_apart_all_is_seen(how, kept, mirror, monkeypatch):
    """With a langchain_core that asks in another way every run gets the handler, and the record is no other."""
    records = []
    for depth in (3, 0):
        monkeypatch.setattr("shadoweval.adapters.langchain.recorder_hook._DEPTH", depth)
        for build in (build_graph, build_chain):
            drive(mirrored(build(), mirror), how, ["x"])
            served = kept.envelopes[-1].served
            steps = {step.name for step in served.steps if step.kind != "other"}
            records.append((steps, served.outcome.hits, served.outcome.value, served.outcome.answer))
    assert records[:2] == records[2:]


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
