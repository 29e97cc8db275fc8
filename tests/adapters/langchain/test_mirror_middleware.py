import asyncio

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.tools import tool as lc_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt

from shadoweval import codec, tool
from shadoweval.adapters.langchain import ShadowMiddleware, mirrored
from shadoweval.capture.recorder import current


@tool(effect="read")
def stock(item):
    return f"7 of {item}"


@lc_tool
def count_stock(item: str) -> str:
    """How many there are."""
    if item == "nothing":
        raise LookupError(item)
    return stock(item)


class Model(GenericFakeChatModel):
    def bind_tools(self, tools, **kwargs):
        return self


def agent(mirror, item="bolts", **options):
    asking = AIMessage("", tool_calls=[{"name": "count_stock", "args": {"item": item}, "id": "c1"}])
    replies = iter([asking, AIMessage("there are 7"), asking, AIMessage("there are 7")])
    tools = options.pop("tools", [count_stock])
    return create_agent(Model(messages=replies), tools, middleware=[ShadowMiddleware(mirror)], **options)


ASK = {"messages": [("user", "how many bolts")]}


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
def test_each_run_is_one_query(how, kept, mirror, counted):
    """Sync or async, a run is one query with its state before, its tool calls, its model calls and its answer."""
    made = agent(mirror)

    async def run():
        if how == "ainvoke":
            return await made.ainvoke(ASK)
        return [chunk async for chunk in made.astream(ASK)]

    if how == "invoke":
        assert "shadow_call" not in made.invoke(ASK)
    elif how == "stream":
        list(made.stream(ASK))
    else:
        asyncio.run(run())
    assert current.get() is None
    envelope = kept.only
    (asked,), _ = codec.thaw(envelope.query.inputs)
    assert [message.content for message in asked["messages"]] == ["how many bolts"]
    outcome = envelope.served.outcome
    assert (envelope.query.text, outcome.answer) == ("how many bolts", "there are 7")
    assert [(c.name, c.effect, c.result) for c in outcome.tool_calls][:1] == [("stock", "read", "7 of bolts")]
    assert sum(step.kind == "model" for step in envelope.served.steps) == 2
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


def test_an_error_of_a_tool_is_a_failure(kept, mirror):
    """What a tool raises reaches the caller as it is, and ends the query."""
    with pytest.raises(LookupError, match="nothing"):
        agent(mirror, item="nothing").invoke(ASK)
    failure = kept.only.served.failure
    assert (failure.kind, failure.error_type, failure.step) == ("error", "LookupError", "count_stock")


def test_an_interrupt_is_no_failure(kept, mirror):
    """A tool that waits for a person leaves the turn open; it ends with the agent's answer."""

    @lc_tool("count_stock")
    def approved(item: str) -> str:
        """How many there are, once somebody agrees."""
        return f"7 of {item}" if interrupt("may I?") else "no"

    from langgraph.types import Command

    made = agent(mirror, tools=[approved], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "t"}}
    assert "__interrupt__" in made.invoke(ASK, config)
    assert not kept.frames
    made.invoke(Command(resume=True), config)
    assert kept.only.served.outcome.answer == "there are 7"


def test_inside_a_mirrored_graph_it_is_nested(kept, mirror_with, counted):
    """An agent that is mirrored as a graph too makes one query."""
    inner, outer = mirror_with(), mirror_with()
    mirrored(agent(inner), outer).invoke(ASK)
    assert (counted(inner), counted(outer)) == ({"eligible": 1, "nested": 1}, {"eligible": 1, "mirrored": 1})
    assert len(kept.frames) == 1


def test_an_abandoned_turn_is_aborted_at_once(kept, mirror, counted):
    """Its run tells that it was given up; no newer turn has to begin for that."""
    made = agent(mirror)
    for _ in range(3):
        chunks = made.stream(ASK)
        next(chunks)
        chunks.close()
    assert [envelope.served.failure.kind for envelope in kept.envelopes] == ["aborted"] * 3
    assert counted(mirror) == {"eligible": 3, "mirrored": 3}


def test_interrupted_turns_do_not_pile_up(kept, mirror, monkeypatch, counted):
    """Beyond the cap the oldest is aborted."""
    monkeypatch.setattr("shadoweval.adapters.langchain.mirror_middleware.MAX_OPEN", 1)

    @lc_tool("count_stock")
    def approved(item: str) -> str:
        """How many there are, once somebody agrees."""
        return f"7 of {item}" if interrupt("may I?") else "no"

    made = agent(mirror, tools=[approved], checkpointer=InMemorySaver())
    made.invoke(ASK, {"configurable": {"thread_id": "a"}})
    assert kept.frames == []
    for thread in ("answered at once", "interrupted too"):
        made.invoke(ASK, {"configurable": {"thread_id": thread}})
    oldest, answered = (envelope.served for envelope in kept.envelopes)
    assert (answered.outcome.answer, oldest.failure.kind) == ("there are 7", "aborted")
    assert counted(mirror) == {"eligible": 2, "mirrored": 2}


class Failing(AgentMiddleware):
    """Another middleware that fails outside of model and tools."""

    def before_model(self, state, runtime):
        del state, runtime
        raise KeyError("no such thread")

    async def abefore_model(self, state, runtime):
        return self.before_model(state, runtime)


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
def test_a_turn_that_fails_outside_of_model_and_tools_is_a_failure(how, kept, mirror, counted):
    """In another middleware's hook, say: its run's end tells of it."""
    made = create_agent(Model(messages=iter([])), [], middleware=[ShadowMiddleware(mirror), Failing()])

    async def awaited():
        if how == "ainvoke":
            return await made.ainvoke(ASK)
        return [chunk async for chunk in made.astream(ASK)]

    with pytest.raises(KeyError, match="no such thread"):
        asyncio.run(awaited()) if how[0] == "a" else list(getattr(made, how)(ASK))
    assert kept.only.served.failure.error_type == "KeyError"
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


def test_a_turn_that_takes_too_many_steps_is_a_failure(kept, mirror):
    """The recursion limit is nobody's model call."""
    from langgraph.errors import GraphRecursionError

    with pytest.raises(GraphRecursionError):
        agent(mirror).invoke(ASK, {"recursion_limit": 2})
    assert kept.only.served.failure.error_type == "GraphRecursionError"
