"""What is recorded of a mirrored run: models, tools, steps, and where it failed."""

import pytest
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableLambda,
)
from langchain_core.tools import tool as lc_tool
from langgraph.graph import START, StateGraph

from shadoweval.adapters.langchain import mirrored
from tests.adapters.langchain.runnables import MADE, BoomError, Docs, State, build_chain, build_graph, drive


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
