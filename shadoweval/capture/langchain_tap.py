"""The callback handler that writes LangChain's events into a recorder; imported only where langchain_core is."""

# ruff: noqa: ARG002 - the events' parameters are langchain_core's; each handler takes what it needs.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Literal, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from shadoweval.capture.copying import argument_data
from shadoweval.capture.documents import hit_rows
from shadoweval.capture.effects import said_effect
from shadoweval.capture.interception import error_text, installed
from shadoweval.capture.recorder import Recorder
from shadoweval.records import Effect

__all__ = ["Tap"]

_Kind = Literal["model", "retrieval", "tool", "other"]


class _Open:
    """A run between its start and its end."""

    __slots__ = ("arguments", "calls_before", "effect", "first", "index", "kind", "name", "parent", "started")

    def __init__(self, kind: _Kind, name: str, *, index: int, parent: int | None) -> None:
        self.kind: _Kind = kind
        self.name, self.index, self.parent = name, index, parent
        self.first: float | None = None
        self.arguments = b"\x80"
        self.calls_before = 0
        self.effect: Effect = "unknown"
        self.started = perf_counter()


class Tap(BaseCallbackHandler):
    """Hits, tool calls, model calls and steps of one recording.

    Faults stay on the recorder: langchain_core swallows a handler's exceptions, so they would be lost otherwise.
    """

    run_inline = True
    raise_error = False

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.open: dict[UUID, _Open] = {}

    def _start(self, run_id: UUID, parent: UUID | None, *, kind: _Kind, name: str) -> _Open:
        above = self.open.get(parent) if parent is not None else None
        index = self.recorder.next_index()
        opened = _Open(kind, name, index=index, parent=above.index if above else None)
        self.open[run_id] = opened
        return opened

    def _end(
        self, run_id: UUID, *, error: str | None = None, tokens: tuple[int | None, int | None] = (None, None)
    ) -> None:
        opened = self.open.pop(run_id, None)
        if opened is None:
            return
        since, duration = opened.started - self.recorder.began, perf_counter() - opened.started
        first = None if opened.first is None else opened.first - opened.started
        row = (opened.kind, opened.name, since, duration, *tokens, None, first, error, opened.index, opened.parent)
        self.recorder.add_step_row(row)

    # Chains: nodes of a graph and links of a chain are steps of their own; they carry the tree.

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **facts: Any
    ) -> None:
        """A chain, graph or node begins."""
        self._start(run_id, parent_run_id, kind="other", name=_name(serialized, facts, "chain"))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **facts: Any) -> None:
        """It returned."""
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised, or its stream was abandoned (GeneratorExit)."""
        self._end(run_id, error=error_text(error))

    # Models.

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **facts: Any
    ) -> None:
        """A chat model is called."""
        metadata: Mapping[str, Any] = facts.get("metadata") or {}
        name = metadata.get("ls_model_name") or _name(serialized, facts, "model")
        self._start(run_id, parent_run_id, kind="model", name=str(name))

    def on_llm_start(
        self, serialized: Any, prompts: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **facts: Any
    ) -> None:
        """A completion model is called."""
        self.on_chat_model_start(serialized, prompts, run_id=run_id, parent_run_id=parent_run_id, **facts)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **facts: Any) -> None:
        """A chunk of a stream; only the first one's time is kept."""
        opened = self.open.get(run_id)
        if opened is not None and opened.first is None:
            opened.first = perf_counter()

    def on_llm_end(self, response: Any, *, run_id: UUID, **facts: Any) -> None:
        """It answered."""
        self._end(run_id, tokens=_tokens(response))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._end(run_id, error=error_text(error))

    # Retrievers.

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: UUID, parent_run_id: UUID | None = None, **facts: Any
    ) -> None:
        """A retriever is asked."""
        self._start(run_id, parent_run_id, kind="retrieval", name=_name(serialized, facts, "retriever"))

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **facts: Any) -> None:
        """It found documents."""
        try:
            self.recorder.add_hits(hit_rows(list(documents)))
        except Exception as fault:  # noqa: BLE001 - a document of an unknown shape; the mirror counts it
            self.recorder.fault = fault
        self._end(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._end(run_id, error=error_text(error))

    # Tools.

    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: UUID, parent_run_id: UUID | None = None, **facts: Any
    ) -> None:
        """A tool is called."""
        opened = self._start(run_id, parent_run_id, kind="tool", name=_name(serialized, facts, "tool"))
        opened.calls_before = len(self.recorder.log)
        opened.effect = said_effect(facts.get("metadata"), tags=facts.get("tags"))
        inputs: Any = facts.get("inputs")
        arguments = inputs if isinstance(inputs, Mapping) else {"input": input_str}
        try:
            opened.arguments = argument_data(cast("Mapping[str, Any]", arguments))
        except Exception as fault:  # noqa: BLE001 - as in on_retriever_end
            self.recorder.fault = fault

    def on_tool_end(self, output: Any, *, run_id: UUID, **facts: Any) -> None:
        """It returned; a ToolMessage with status "error" is a failure that the framework turned into text."""
        content = getattr(output, "content", output)
        failed = getattr(output, "status", None) == "error"
        self._tool_ended(run_id, None if failed else content, str(content) if failed else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._tool_ended(run_id, None, error_text(error))

    def _tool_ended(self, run_id: UUID, result: Any, error: str | None) -> None:
        opened = self.open.get(run_id)
        if opened is None:
            return
        # A @tool function inside the LangChain tool, and whoever answers for an interceptor, record it themselves.
        told = opened.name in self.recorder.called(opened.calls_before)
        if told or installed.interceptor is not None:
            self.open.pop(run_id, None)
            return
        self.open.pop(run_id, None)
        try:
            self.recorder.add_call(
                opened.name,
                opened.arguments,
                result,
                started=opened.started,
                duration=perf_counter() - opened.started,
                error=error,
                effect=opened.effect,
                position=(opened.index, opened.parent),
            )
        except Exception as fault:  # noqa: BLE001 - as in on_retriever_end
            self.recorder.fault = fault


def _name(serialized: Any, facts: Mapping[str, Any], default: str) -> str:
    if facts.get("name"):
        return str(facts["name"])
    if isinstance(serialized, Mapping):
        known = cast("Mapping[str, Any]", serialized)
        path = known.get("id")
        return str(known.get("name") or (cast("list[Any]", path)[-1] if path else default))
    return default


def _tokens(response: Any) -> tuple[int | None, int | None]:
    """Input and output tokens of an LLMResult: `usage_metadata` of its messages, else `llm_output`."""
    used: list[Mapping[str, Any]] = []
    for generations in getattr(response, "generations", None) or ():
        for generation in generations:
            usage = getattr(getattr(generation, "message", None), "usage_metadata", None)
            if usage:
                used.append(usage)
    if used:
        return sum(u.get("input_tokens", 0) for u in used), sum(u.get("output_tokens", 0) for u in used)
    output: Any = getattr(response, "llm_output", None) or {}
    usage = output.get("token_usage") or {}
    return usage.get("prompt_tokens"), usage.get("completion_tokens")
