"""A mirrored runnable is the runnable that it was, and each input is one query."""

import asyncio
import threading

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.runnables import (
    RunnableBinding,
    RunnableLambda,
)
from langchain_core.tools import tool as lc_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from shadoweval import codec, current_query
from shadoweval.adapters.langchain import mirror_keywords, mirrored
from shadoweval.adapters.langchain.mirror_keywords import MEMORY
from tests.adapters.langchain.runnables import (
    ASYNC,
    MADE,
    SYNC,
    Docs,
    State,
    build_chain,
    build_chat,
    build_graph,
    clean,
    drive,
    look_up,
    model,
    shown,
)


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


def test_a_thread_is_the_unit_and_goes_with_the_input(kept, mirror):
    """Turns of one thread share a unit, and a candidate gets the same thread."""
    graph = mirrored(build_chat(model("hello")), mirror)
    for text in ("hi", "again"):
        graph.invoke({"messages": [HumanMessage(text)]}, {"configurable": {"thread_id": "t7"}})
    first, second = kept.envelopes
    assert first.query.unit == second.query.unit == "t7"
    (asked,), kwargs = codec.thaw(second.query.inputs)
    assert [message.content for message in asked["messages"]] == ["again"]
    assert codec.thaw(first.query.inputs)[1] == {"config": {"configurable": {"thread_id": "t7"}}}
    assert kwargs["config"]["configurable"].keys() == {"thread_id", MEMORY}  # a saver in memory: no candidate reads it
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


class Unreadable:
    """No text can be had of it, and it can't be compared."""

    __hash__ = None

    def __eq__(self, other):
        raise LookupError("no comparison")

    def __str__(self):
        raise LookupError("no text")


CONFIGS = {
    "half a character": {"configurable": {"user": ("ann \ud83d",)}},
    "half a character, plain": {"configurable": {"user": "ann \ud83d"}},
    "no text": {"metadata": {"thread_id": Unreadable()}},
    "no comparison": {"metadata": Unreadable()},
    "too large": {"configurable": {"rows": [tuple(range(1000)) for _ in range(1000)]}},
}


@pytest.mark.parametrize("sample", [0.0, 1e-12, 1.0])
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream", "batch"])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_cannot_be_read_or_copied_is_no_fault_of_the_callers(name, how, sample, kept, mirror_with):
    """Whether or not the call is sampled, it is answered as without us, and counted once."""
    mirror = mirror_with(sample=sample)
    runnable = RunnableLambda(lambda question: question)
    plain, ours = (_answers(each, how, CONFIGS[name]) for each in (runnable, mirrored(runnable, mirror)))
    assert ours == plain
    counts = mirror.outlet.ledger.main.snapshot()
    if plain == ["why"]:
        assert counts["eligible"] == 1
        assert sum(counts.values()) == 2


def _answers(runnable, how, config):
    async def streamed():
        return [chunk async for chunk in runnable.astream("why", config)]

    try:
        if how == "batch":
            return runnable.batch(["why"], config)
        if how == "stream":
            return list(runnable.stream("why", config))
        if how == "astream":
            return asyncio.run(streamed())
        return [asyncio.run(runnable.ainvoke("why", config)) if how == "ainvoke" else runnable.invoke("why", config)]
    except Exception as error:  # langchain_core itself can't do with some of them
        return repr(type(error))


def test_what_was_not_sampled_is_not_copied(kept, mirror_with, monkeypatch):
    """The decision comes first; what is larger than a query may be, or can not be copied, is left out by name."""
    copied = []
    plain = mirror_keywords.codec.plain
    monkeypatch.setattr(
        mirror_keywords.codec, "plain", lambda value, **limits: (copied.append(limits), plain(value, **limits))[1]
    )
    rows = tuple("x" * 100 for _ in range(100))
    config = {"configurable": {"rows": rows, "user": (threading.Lock(),), "plan": "gold"}}
    for sample in (0.0, 1e-12):
        mirrored(RunnableLambda(str), mirror_with(sample=sample)).invoke("why", config)
    assert not copied
    mirrored(RunnableLambda(str), mirror_with(sample=1.0, max_bytes=5000)).invoke("why", config)
    assert {"max_bytes": 5000} in copied
    (envelope,) = kept.envelopes
    assert codec.thaw(envelope.query.inputs) == (("why",), {"config": {"configurable": {"plan": "gold"}}})
    assert envelope.query.attributes["left_out"] == "configurable.rows (tuple), configurable.user (tuple)"


@pytest.mark.parametrize("entry", ["invoke", "ainvoke", "stream"])
def test_a_runnable_knows_its_query(mirror, kept, entry):
    """In its steps, and where it was called, once it has answered."""
    inside = []
    runnable = mirrored(RunnableLambda(lambda asked: inside.append(current_query()) or asked), mirror)

    async def awaited():
        await runnable.ainvoke("a")
        return current_query()

    if entry == "ainvoke":
        after = asyncio.run(awaited())
    else:
        list(getattr(runnable, entry)("a"))
        after = current_query()
    assert [*inside, after] == [kept.only.id] * 2
