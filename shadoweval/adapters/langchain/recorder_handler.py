"""The callback handler that writes LangChain's events into a recorder.

Steps are models, retrievers, tools and the named nodes of graphs. Links of a chain (sequences, lambdas, prompts,
parsers) are none, unless one is where an error came from: they are many, and what they do is the framework's.
"""

# ruff: noqa: ARG002 - the events' parameters are langchain_core's; each method takes what it needs.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Final, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from shadoweval.adapters.langchain.recorder_events import (
    Kind,
    Nodes,
    OpenRun,
    call_around,
    call_here,
    failed_answers,
    node_name,
    open_run,
    origin_of_error,
    read_output,
    requested_calls,
    run_name,
    said_by,
    timed,
    unreadable_calls,
    used_kinds,
    used_tokens,
)
from shadoweval.capture.beside import watched
from shadoweval.capture.copying import argument_data
from shadoweval.capture.delegation import is_delegate
from shadoweval.capture.documents import hit_rows, recorded_rows
from shadoweval.capture.interception import UNFINISHED, error_text, installed
from shadoweval.capture.prompts import note_prompts
from shadoweval.capture.raised import chain_of, raised
from shadoweval.capture.recorder import Recorder
from shadoweval.records import Effect

__all__ = ["RecordingHandler"]

_NO_USAGE: Final = ((None, None), {})


class RecordingHandler(BaseCallbackHandler):
    """Hits, tool calls, model calls and steps of one recording.

    Faults stay on the recorder: langchain_core swallows a handler's exceptions, so they would be lost otherwise.

    Args:
        recorder: Where to.
        links: Whether it gets the events of a chain's links and a graph's nodes; without them `over` must be called.
        state: Whether it gets those of the outermost graph all the same, for its last state.
    """

    run_inline = True
    raise_error = False

    def __init__(self, recorder: Recorder, *, links: bool = True, state: bool = False) -> None:
        self.recorder, self.links, self.state = recorder, links, state
        self._add, self._index, self._began = recorder.add_step_row, recorder.next_index, recorder.began
        self.runs: dict[UUID | None, OpenRun] = {}
        self.nodes = Nodes(recorder.next_index)
        self.first_tokens: dict[UUID, float] = {}
        self.providers: dict[UUID, str] = {}
        self.tools: dict[UUID, tuple[bytes, int, Effect]] = {}
        self.asked: dict[tuple[Any, str], Mapping[str, Any]] = {}
        """Tool calls that models asked for and that no tool has begun, by their ids and names: some give ids anew."""
        self.begun: set[tuple[Any, str]] = set()
        self.claimed: set[int] = set()
        """Positions in the log of calls that `@tool` functions inside LangChain's tools have recorded."""
        self.recorded_error: BaseException | None = None
        """What a step failed with, so that what it is raised through does not fail with it again."""
        self.root: UUID | None = None
        self.final: Any = None
        """What the first chain that began here, which for a graph is itself, gave at its end."""

    def open_step(self) -> str:
        """Name of the innermost run that has begun and not ended; empty: there is none."""
        return next((run.name for run in reversed(self.runs.values())), "")

    def _start(self, run_id: UUID, event: Mapping[str, Any], *, kind: Kind, name: str) -> None:
        around = self._around(event)
        self.runs[run_id] = open_run((kind, name, self._index(), around, perf_counter()))

    def _around(self, event: Mapping[str, Any]) -> int | None:
        """Index of the step that a run lies in."""
        outer = self.runs.get(event.get("parent_run_id"))
        if outer is None:
            metadata = event.get("metadata")
            return self.nodes.around(metadata) if metadata and not self.links else None
        return outer.step

    def _end(self, run_id: UUID, *, error: str | None = None, used: tuple[Any, Any] = _NO_USAGE) -> None:
        run = self.runs.pop(run_id, None)
        if run is None:
            return
        ended = perf_counter()
        kind, name, index, parent, started = run
        if parent in self.nodes.ends:
            self.nodes.ends[parent] = ended
        first = self.first_tokens.pop(run_id) - started if run_id in self.first_tokens else None
        row = (kind, name, started - self._began, ended - started, *used[0], None, first, error, index, parent)
        self._add((*row, None, used[1], self.providers.pop(run_id, "")) if kind == "model" else row)

    # Chains: nodes of a graph are steps; other links only say what lies inside which step.

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **event: Any) -> None:
        """A chain, graph or node begins."""
        name, metadata = event.get("name"), event.get("metadata")
        if metadata is not None and name is not None and metadata.get("langgraph_node") == name:
            self._start(run_id, event, kind="other", name=name)
            return
        if self.root is None:
            self.root = run_id
        self.runs[run_id] = open_run((None, name or "chain", self._around(event), None, 0.0))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **event: Any) -> None:
        """It returned."""
        run = self.runs.get(run_id)
        if run is not None and run[0] is None:
            del self.runs[run_id]
        else:
            self._end(run_id)
        if run_id is self.root:
            self.final = outputs

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """It raised, or its stream was abandoned (GeneratorExit)."""
        run = self.runs.get(run_id)
        if run is not None and run[0] is None:
            # A step or link inside has failed with it already; or `over` will record where.
            if self.recorded_error is error or (run_id is self.root and not self.links):
                del self.runs[run_id]
                return
            self.runs[run_id] = OpenRun("other", run.name, self._index(), run.step, perf_counter())
        self._failed(run_id, error)

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, of whose links and nodes there were no events: write down its nodes, and where it failed."""
        name, namespace = origin_of_error(error) if isinstance(error, Exception) else ("", "")
        text = error_text(error) if name and error is not None else None
        node = self.nodes.find(namespace)
        if name and self.recorded_error is not error and (node is None or name != node_name(namespace)):
            since = perf_counter() - self._began
            self._add(("other", name, since, 0.0, None, None, None, None, text, self._index(), node))
        for inner, index, parent, started, ended in self.nodes.all():
            failed = text if namespace == inner or namespace.startswith(f"{inner}|") else None
            times = (started - self._began, ended - started)
            self._add(("other", node_name(inner), *times, None, None, None, None, failed, index, parent))

    def _failed(self, run_id: UUID, error: BaseException) -> None:
        self.recorded_error = error
        self._end(run_id, error=error_text(error))

    @timed
    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **event: Any) -> None:
        """A chat model is called."""
        if self.asked:
            self._add_unknown_tools(messages)
        note_prompts(self.recorder, messages)
        metadata = event.get("metadata")
        name = (metadata.get("ls_model_name") if metadata else None) or event.get("name")
        self.providers[run_id] = str((metadata.get("ls_provider") if metadata else None) or "")
        self._start(run_id, event, kind="model", name=str(name or run_name(serialized, "model")))

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **event: Any) -> None:
        """A completion model is called."""
        self.on_chat_model_start(serialized, prompts, run_id=run_id, **event)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **event: Any) -> None:
        """A chunk of a stream; only the first one's time is kept."""
        if run_id not in self.first_tokens:
            self.first_tokens[run_id] = perf_counter()

    @timed
    def on_llm_end(self, response: Any, *, run_id: UUID, **event: Any) -> None:
        """It answered."""
        used: tuple[Any, Any] = _NO_USAGE
        try:
            used = used_tokens(response), used_kinds(response)
            self.asked.update((key, call) for key, call in requested_calls(response) if key not in self.begun)
            for name, written, why in unreadable_calls(response):
                self.recorder.add_call(name, written, None, started=perf_counter(), duration=0.0, error=why)
        except Exception as fault:  # noqa: BLE001 - a result of an unknown shape; the mirror counts it
            self.recorder.fault = fault
        self._end(run_id, used=used)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """It raised."""
        self._failed(run_id, error)

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **event: Any) -> None:
        """A retriever is asked."""
        name = event.get("name") or run_name(serialized, "retriever")
        self._start(run_id, event, kind="retrieval", name=name)

    @timed
    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **event: Any) -> None:
        """It returned documents."""
        try:
            hit_id, run = self.recorder.hit_id, self.runs.get(run_id)
            rows = recorded_rows(documents) if hit_id is None else hit_rows(documents, hit_id)
            name, call = ("retriever", None) if run is None else (run.name, call_around(self, run.parent))
            self.recorder.add_hits(rows, name=name, call=call)
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault
        self._end(run_id)

    on_retriever_error = on_llm_error

    def _add_unknown_tools(self, messages: Any) -> None:
        """Calls that failed without a tool: the model asked for one that is not there, and is told so now."""
        try:
            for key, why in list(failed_answers(messages, self.asked)):
                call, now = self.asked.pop(key), perf_counter()
                self.recorder.add_call(call["name"], call["args"], None, started=now, duration=0.0, error=why)
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault

    @timed
    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **event: Any) -> None:
        """A tool is called."""
        name = event.get("name") or run_name(serialized, "tool")
        self._start(run_id, event, kind="tool", name=name)
        key = (event.get("tool_call_id"), name)
        self.begun.add(key)
        self.asked.pop(key, None)
        inputs: Any = event.get("inputs")
        arguments = inputs if isinstance(inputs, Mapping) else {"input": input_str}
        try:
            raw = argument_data(cast("Mapping[str, Any]", arguments))
            self.tools[run_id] = (watched(raw, arguments), len(self.recorder.log), said_by(event))
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault

    def on_tool_end(self, output: Any, *, run_id: UUID, **event: Any) -> None:
        """It returned; a ToolMessage with status "error" is a failure that the framework turned into text."""
        self._tool_ended(run_id, *read_output(output, self.runs[run_id].name if run_id in self.runs else ""))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **event: Any) -> None:
        """It raised; or it waits for the answer of a person, and its result is what it asked."""
        self.recorded_error = error
        self._tool_ended(run_id, raised(error), error_text(error), chain_of(error))

    def call_around(self, _recorder: Recorder) -> float | None:
        """When the tool call began that this context belongs to; None: to none."""
        return call_here(self)

    def cut(self, _recorder: Recorder) -> None:
        """The run is over: calls that it did not wait for have no result."""
        for run_id in list(self.tools):
            self._tool_ended(run_id, None, UNFINISHED)

    def _recorded_itself(self, name: str, arguments: bytes, log_length: int) -> bool:
        """Whether a `@tool` function of that name has ended since; each stands for one call, best for an equal one."""
        own = [call for call in self.recorder.own_calls(log_length) if call[1] == name and call[0] not in self.claimed]
        if not own:
            return False
        self.claimed.add(next((at for at, _, sent in own if sent == arguments), own[0][0]))
        return True

    @timed
    def _tool_ended(self, run_id: UUID, result: Any, error: str | None, beside: Any = None) -> None:  # noqa: PLR0917
        run, call = self.runs.pop(run_id, None), self.tools.pop(run_id, None)
        if run is None or call is None:
            return
        _, name, index, parent, started = run
        arguments, log_length, effect = call
        ended = perf_counter()
        if parent in self.nodes.ends:
            self.nodes.ends[parent] = ended
        # A @tool function inside it, and whoever answers for an interceptor, record it; nobody answers what it refuses.
        answered = installed.interceptor is not None and error is None
        if answered or is_delegate(result) or self._recorded_itself(name, arguments, log_length):
            return
        try:
            self.recorder.add_call(
                str(name),
                arguments,
                result,
                started=started,
                duration=ended - started,
                error=error,
                effect=effect,
                position=(index or 0, parent),
                beside=beside,
            )
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault
