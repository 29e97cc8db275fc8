"""LangChain and LangGraph runs are recorded without a change to the pipeline."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import StructuredTool
from langchain_core.tools import tool as langchain_tool

from shadoweval.adapters.langchain.recorder_hook import register
from shadoweval.capture import Parts, Recorder, recording, set_interceptor, tool
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport


class Index(BaseRetriever):
    """Finds two documents, or raises."""

    down: bool = False

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        if self.down:
            raise LookupError("index is down")
        return [Document("about lists", metadata={"_id": "d1", "score": 0.9}), Document("about sets", id="d2")]


@langchain_tool
def search(query: str, limit: int = 3) -> str:
    """Search."""
    return " ".join(document.page_content for document in Index().invoke(query))


def model(*texts: str) -> GenericFakeChatModel:
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7}
    return GenericFakeChatModel(messages=iter([AIMessage(text, usage_metadata=usage) for text in texts]))


def recorded(run: Callable[[], Any]) -> Parts:
    with recording(Recorder()) as recorder:
        run()
    assert recorder.fault is None
    return recorder.parts()


def chain() -> Any:
    return RunnableLambda(lambda question: search.invoke({"query": question})) | model("sorted")


async def stream(runnable: Any) -> list[Any]:
    return [chunk async for chunk in runnable.astream("how")]


@pytest.mark.parametrize(
    ("run", "tokens"),
    [
        (lambda runnable: runnable.invoke("how"), (5, 2)),
        (lambda runnable: asyncio.run(runnable.ainvoke("how")), (5, 2)),
        (lambda runnable: list(runnable.stream("how")), (None, None)),  # this model tells no usage in streams
        (lambda runnable: asyncio.run(stream(runnable)), (None, None)),
        (lambda runnable: runnable.batch(["how"]), (5, 2)),
    ],
    ids=["invoke", "ainvoke", "stream", "astream", "batch"],
)
def test_every_way_to_run_a_chain_is_seen(run: Callable[[Any], Any], tokens: tuple[int | None, int | None]) -> None:
    """Hits with their ids, the tool call, the model call with its tokens, and what ran inside what."""
    parts = recorded(lambda: run(chain()))
    assert [(hit.id, hit.score, hit.text) for hit in parts.hits] == [
        ("d1", 0.9, "about lists"),
        ("d2", None, "about sets"),
    ]
    (call,) = parts.tool_calls
    assert (call.name, call.arguments["query"], call.result, call.effect) == (
        "search",
        "how",
        "about lists about sets",
        "unknown",
    )
    assert (parts.usage.input_tokens, parts.usage.output_tokens) == tokens
    steps = {step.kind: step for step in parts.steps if step.kind != "other"}
    assert set(steps) == {"retrieval", "tool", "model"}
    assert steps["retrieval"].parent == steps["tool"].index
    assert steps["model"].parent is None
    assert len(parts.steps) == len(steps), "links of the chain are no steps"


def test_a_streams_first_token_has_its_time() -> None:
    """Seconds from the model's start."""
    parts = recorded(lambda: list(model("one two three").stream("how")))
    (step,) = [step for step in parts.steps if step.kind == "model"]
    assert step.first_chunk is not None
    assert 0 <= step.first_chunk <= step.duration


def test_errors_are_steps_that_failed() -> None:
    """The innermost first."""

    def run() -> None:
        with pytest.raises(LookupError):
            Index(down=True).invoke("q")

    parts = recorded(run)
    assert parts.steps[0].error == "LookupError: index is down"
    assert parts.failed_step == "Index"

    @langchain_tool
    def fail(query: str) -> str:
        """Fail."""
        raise ValueError(query)

    def call() -> None:
        with pytest.raises(ValueError, match="no"):
            fail.invoke({"query": "no"})

    (failed,) = recorded(call).tool_calls
    assert failed.error == "ValueError: no"


@pytest.mark.parametrize(
    ("metadata", "effect"),
    [
        ({"effect": "read"}, "read"),
        ({"effect": "write"}, "write"),
        ({"readOnlyHint": True}, "read"),
        ({"annotations": {"readOnlyHint": True}}, "read"),
        ({"readOnlyHint": True, "destructiveHint": True}, "write"),
        ({"readOnlyHint": False}, "write"),
        ({"destructiveHint": True}, "write"),
        ({}, "unknown"),
        (None, "unknown"),
    ],
)
def test_effects_come_from_the_tools_metadata(metadata: dict[str, Any] | None, effect: str) -> None:
    """`effect`, or the hints of an MCP server; what is not declared counts as a write."""
    made = StructuredTool.from_function(lambda query: query, name="t", description="t", metadata=metadata)
    (call,) = recorded(lambda: made.invoke({"query": "x"})).tool_calls
    assert call.effect == effect


def test_a_declared_tool_inside_a_langchain_tool_is_one_call() -> None:
    """Recorded once, with the declared effect."""

    @tool(effect="read")
    def look(query: str) -> str:
        """Look."""
        return query

    made = StructuredTool.from_function(look)
    (call,) = recorded(lambda: made.invoke({"query": "x"})).tool_calls
    assert (call.name, call.effect) == ("look", "read")


def test_with_an_interceptor_calls_are_recorded_by_who_answers() -> None:
    """Steps are still seen; the tool call is not written down twice."""

    class Nobody:
        def answer(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("not asked")

    before = set_interceptor(Nobody())
    try:
        parts = recorded(lambda: search.invoke({"query": "x"}))
    finally:
        set_interceptor(before)
    assert parts.tool_calls == ()
    assert [step.kind for step in parts.steps] == ["retrieval"]


def test_runs_outside_a_recording_are_not_touched() -> None:
    """No handler is added."""
    register()
    seen = []
    RunnableLambda(lambda x, config: seen.append(config["callbacks"].handlers)).invoke("x")
    assert seen == [[]]


def test_concurrent_recordings_do_not_mix() -> None:
    """Each run's handler writes into its own recorder."""

    async def one(n: int) -> Parts:
        with recording(Recorder()) as recorder:
            await RunnableLambda(lambda q: search.invoke({"query": q})).ainvoke(str(n))
        return recorder.parts()

    async def crowd() -> list[Parts]:
        return await asyncio.gather(*(one(n) for n in range(10)))

    for n, parts in enumerate(asyncio.run(crowd())):
        assert [call.arguments["query"] for call in parts.tool_calls] == [str(n)]


def test_a_mirrored_graph_is_recorded_in_full() -> None:
    """A LangGraph agent: models, tools in threads, retrievals, and the answer from its messages."""
    agents = pytest.importorskip("langchain.agents")
    from shadoweval import codec

    frames: list[bytes] = []

    class Keep(Transport):
        def offer(self, frame: bytes) -> None:
            frames.append(frame)

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **_: Any) -> Any:
            return self

    calls = [
        {"name": "search", "args": {"query": "lists"}, "id": "1"},
        {"name": "search", "args": {"query": "lists"}, "id": "2"},
    ]
    scripted = Scripted(messages=iter([AIMessage("", tool_calls=calls), AIMessage("use sort()")]))
    agent = agents.create_agent(scripted, [search])
    answer = Mirror("x", Keep(), control=0.0)(lambda question: agent.invoke({"messages": [("user", question)]}))
    assert answer("how to sort")["messages"][-1].content == "use sort()"
    served = codec.decode_envelope(frames[0]).served
    assert served.outcome is not None
    assert served.outcome.answer == "use sort()"
    assert [call.name for call in served.tool_calls] == ["search", "search"]
    assert sorted(call.occurrence for call in served.tool_calls) == [1, 2]
    assert {hit.id for hit in served.hits} == {"d1", "d2"}
    assert [step.kind for step in served.steps].count("model") == 2


def test_langchain_is_not_imported_for_who_does_not_use_it() -> None:
    """A fresh process records without it."""
    program = """
import sys
from shadoweval.capture import Recorder, recording
with recording(Recorder()): pass
assert not [name for name in sys.modules if name.startswith("langchain")]
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_tokens_that_are_billed_apart() -> None:
    """As LangChain names them; what nobody said is not there."""
    details = {"input_token_details": {"cache_read": 3, "cache_creation": 1}, "output_token_details": {"reasoning": 0}}
    usage = {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, **details}
    chat = GenericFakeChatModel(messages=iter([AIMessage("a", usage_metadata=usage)]))

    parts = recorded(lambda: chat.invoke("how"))

    assert parts.usage.tokens == {"cached_input": 3, "cache_write": 1, "reasoning": 0}
