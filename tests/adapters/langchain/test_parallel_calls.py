"""What runs in parallel under one name is recorded call by call, by whichever entry it is run.

Each case runs 40 times, since a lost call shows only where two ends fall together.
"""

import asyncio
import time
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

import shadoweval
from shadoweval.adapters.langchain import ShadowMiddleware, mirrored

TIMES, MANY = 40, 4


@tool
def refund(x: int) -> str:
    """Refund."""
    time.sleep(0.001)
    return f"refunded {x}"


@tool
async def arefund(x: int) -> str:
    """Refund."""
    await asyncio.sleep(0.001)
    return f"refunded {x}"


@shadoweval.tool(effect="write", name="declared")
def by_ours(x):
    time.sleep(0.001)
    return f"refunded {x}"


@tool
def declared(x: int) -> str:
    """A LangChain tool around a declared function of the same name, which records itself."""
    return by_ours(x)


class Model(BaseChatModel):
    """Asks for some tools at once, then sums up."""

    names: tuple[str, ...] = ("refund",) * MANY

    @property
    def _llm_type(self) -> str:
        return "asking"

    def _generate(self, messages: list, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        done = [message.content for message in messages if isinstance(message, ToolMessage)]
        calls = [{"name": name, "args": {"x": x}, "id": f"c{x}"} for x, name in enumerate(self.names)]
        answer = AIMessage(" ".join(done)) if done else AIMessage("", tool_calls=calls)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def agent(tool=refund, name="refund", **options):
    return create_agent(Model(names=(name,) * MANY), [tool], **options)


class Fan(TypedDict, total=False):
    x: int
    messages: list


def fan_out(node):
    builder = StateGraph(Fan)
    builder.add_node("pay", node)
    builder.add_conditional_edges(START, lambda state: [Send("pay", {"x": x}) for x in range(MANY)], ["pay"])
    return builder.compile()


def nested():
    """An agent in each of the parallel branches."""
    inner = create_agent(Model(names=("refund",)), [refund])
    builder = StateGraph(Fan)
    builder.add_node("pay", lambda state: inner.invoke({"messages": [HumanMessage("pay")]}) and {})
    builder.add_conditional_edges(START, lambda state: [Send("pay", {"x": x}) for x in range(MANY)], ["pay"])
    return builder.compile()


GRAPHS = {
    "agent": (agent, "refund"),
    "agent with async tools": (lambda: agent(arefund, "arefund"), "arefund"),
    "agent with declared tools": (lambda: agent(declared, "declared"), "declared"),
    "fan-out": (lambda: fan_out(lambda state: refund.invoke({"x": state["x"]}) and {}), "refund"),
    "agents side by side": (nested, "refund"),
}
ASKED = {"messages": [HumanMessage("pay")]}


def drive(graph, how):
    async def stream():
        return [chunk async for chunk in graph.astream(ASKED)]

    if how == "batch":
        return graph.batch([ASKED])
    if how == "abatch":
        return asyncio.run(graph.abatch([ASKED]))
    if how == "ainvoke":
        return asyncio.run(graph.ainvoke(ASKED))
    if how == "astream":
        return asyncio.run(stream())
    return list(graph.stream(ASKED)) if how == "stream" else graph.invoke(ASKED)


def calls_of(envelope):
    return sorted((call.name, call.arguments["x"], call.result, call.error) for call in envelope.served.tool_calls)


@pytest.mark.parametrize("how", ["invoke", "stream", "batch", "ainvoke", "astream", "abatch"])
@pytest.mark.parametrize("kind", GRAPHS)
def test_parallel_tool_calls_are_all_recorded(kind, how, kept, mirror):
    """Each call once, with its own argument and result, whoever runs them."""
    build, name = GRAPHS[kind]
    if kind == "agent with async tools" and not how.startswith("a"):
        pytest.skip("these tools are async only")
    graph = mirrored(build(), mirror)
    for _ in range(TIMES):
        drive(graph, how)
    numbers = [0] * MANY if kind == "agents side by side" else range(MANY)
    whole = [(name, x, f"refunded {x}", None) for x in numbers]
    assert [calls_of(envelope) for envelope in kept.envelopes] == [whole] * TIMES


def test_parallel_tool_calls_under_a_middleware_are_all_recorded(kept, mirror):
    """The mirror as a middleware sees each of them."""
    graph = agent(middleware=[ShadowMiddleware(mirror)])
    for _ in range(TIMES):
        graph.invoke(ASKED)
    whole = [("refund", x, f"refunded {x}", None) for x in range(MANY)]
    assert [calls_of(envelope) for envelope in kept.envelopes] == [whole] * TIMES


def test_parallel_tool_calls_in_threads_are_all_recorded(kept, mirror):
    """A function that gives its tools to langchain_core's executor."""

    @mirror
    def answer(question):
        with ContextThreadPoolExecutor(MANY) as pool:
            return list(pool.map(lambda x: refund.invoke({"x": x}), range(MANY)))

    for _ in range(TIMES):
        answer("pay")
    assert [len(envelope.served.tool_calls) for envelope in kept.envelopes] == [MANY] * TIMES


class Index(BaseRetriever):
    """Finds one document."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list:
        time.sleep(0.001)
        return [Document(query, id=query)]


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
def test_parallel_retrievals_and_models_are_all_recorded(how, kept, mirror):
    """Branches of one name each: every document, retrieval and model call."""
    branches = {f"b{n}": RunnableLambda(lambda _, n=n: f"d{n}") | Index() for n in range(MANY)}
    branches |= {f"m{n}": RunnableLambda(lambda _: [HumanMessage("pay")]) | Model() for n in range(MANY)}
    chain = mirrored(RunnableParallel(branches), mirror)
    for _ in range(TIMES):
        chain.invoke("x") if how == "invoke" else asyncio.run(chain.ainvoke("x"))
    for envelope in kept.envelopes:
        assert {hit.id for hit in envelope.served.outcome.hits} == {f"d{n}" for n in range(MANY)}
        kinds = [step.kind for step in envelope.served.steps]
        assert (kinds.count("retrieval"), kinds.count("model")) == (MANY, MANY)
    assert len(kept.envelopes) == TIMES


def test_a_tool_that_is_not_there_is_a_failed_call(kept, mirror):
    """The model asked for it, and was told that there is none."""
    graph = create_agent(Model(names=("refund", "refond")), [refund])
    mirrored(graph, mirror).invoke(ASKED)
    good, bad = sorted(kept.only.served.tool_calls, key=lambda call: call.error is not None)
    assert (good.name, good.error) == ("refund", None)
    assert (bad.name, bad.arguments) == ("refond", {"x": 1})
    assert "not a valid tool" in bad.error


@tool
def approve(x: int) -> str:
    """Ask a person."""
    return f"{interrupt({'sure about': x})}: {x}"


def test_a_tool_that_waits_for_a_person_has_not_failed(kept, mirror):
    """It is recorded as waiting, with what it asked, and once more when the answer is there."""
    graph = mirrored(create_agent(Model(names=("approve",)), [approve], checkpointer=InMemorySaver()), mirror)
    config = {"configurable": {"thread_id": "t1"}}
    graph.invoke(ASKED, config)
    graph.invoke(Command(resume="yes"), config)
    (waiting,), (done,) = (envelope.served.tool_calls for envelope in kept.envelopes)
    assert (waiting.result, waiting.error) == ({"sure about": 0}, "interrupted: it waits for an answer")
    assert (done.result, done.error) == ("yes: 0", None)
