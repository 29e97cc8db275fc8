"""The callback handler that writes LangChain's events into a recorder; imported only where langchain_core is.

Steps are models, retrievers, tools and the named nodes of graphs. Links of a chain (sequences, lambdas, prompts,
parsers) are none, unless one is where an error came from: they are many, and what they do is the framework's.
"""

# ruff: noqa: ARG002 - the events' parameters are langchain_core's; each handler takes what it needs.

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from shadoweval.adapters.langchain.nodes import Nodes, node_name, place_of_error
from shadoweval.adapters.langchain.results import run_name, used_tokens
from shadoweval.capture.copying import argument_data
from shadoweval.capture.delegation import is_delegate
from shadoweval.capture.documents import recorded_rows
from shadoweval.capture.interception import error_text, installed
from shadoweval.capture.recorder import Recorder
from shadoweval.capture.tools import said_effect
from shadoweval.records import Effect

__all__ = ["Tap"]

_Kind = Literal["model", "retrieval", "tool", "other"]
_NO_TOKENS: Final = (None, None)
_SAYING: Final = frozenset({"effect", "annotations", "readOnlyHint", "destructiveHint"})
"""Keys of the metadata in which `said_effect` finds something."""


class _Open(NamedTuple):
    kind: _Kind | None
    """None: a link, which is no step."""
    name: str
    number: int | None
    """Its index; a link has that of the step around it."""
    parent: int | None
    started: float


_opened: Final = functools.partial(tuple.__new__, _Open)
"""A third of the time of `_Open` itself."""


class Tap(BaseCallbackHandler):
    """Hits, tool calls, model calls and steps of one recording.

    Faults stay on the recorder: langchain_core swallows a handler's exceptions, so they would be lost otherwise.

    Args:
        recorder: Where to.
        links: Whether to be told of a chain's links and a graph's nodes; else `over` must be told of the run's end.
        state: Whether to be told of the outermost graph all the same, for its last state.
    """

    run_inline = True
    raise_error = False

    def __init__(self, recorder: Recorder, *, links: bool = True, state: bool = False) -> None:
        self.recorder, self.links, self.state = recorder, links, state
        self._add, self._index, self._began = recorder.add_step_row, recorder.next_index, recorder.began
        self.open: dict[UUID | None, _Open] = {}
        self.nodes = Nodes(recorder.next_index)
        self.first: dict[UUID, float] = {}
        self.tools: dict[UUID, tuple[bytes, int, Effect]] = {}
        self.told: BaseException | None = None
        self.root: UUID | None = None
        self.final: Any = None
        """What the first chain that began here, which for a graph is itself, gave at its end."""

    def open_step(self) -> str:
        """Name of the innermost run that has begun and not ended; empty: there is none."""
        return next((opened.name for opened in reversed(self.open.values())), "")

    def _start(
        self, run_id: UUID, parent: UUID | None, *, kind: _Kind, name: str, metadata: Mapping[str, Any] | None
    ) -> None:
        around = self._around(parent, metadata)
        self.open[run_id] = _opened((kind, name, self._index(), around, perf_counter()))

    def _around(self, parent: UUID | None, metadata: Mapping[str, Any] | None) -> int | None:
        """Index of the step that a run lies in."""
        above = self.open.get(parent)
        if above is None:
            return self.nodes.around(metadata) if metadata and not self.links else None
        return above.number

    def _end(
        self, run_id: UUID, *, error: str | None = None, tokens: tuple[int | None, int | None] = _NO_TOKENS
    ) -> None:
        opened = self.open.pop(run_id, None)
        if opened is None:
            return
        ended = perf_counter()
        kind, name, index, parent, started = opened
        if parent in self.nodes.ends:
            self.nodes.ends[parent] = ended
        first = self.first.pop(run_id) - started if run_id in self.first else None
        self._add((kind, name, started - self._began, ended - started, *tokens, None, first, error, index, parent))

    # Chains: nodes of a graph are steps; other links only tell what lies inside which step.

    def on_chain_start(
        self,
        serialized: Any,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **facts: Any,
    ) -> None:
        """A chain, graph or node begins."""
        if metadata is not None and name is not None and metadata.get("langgraph_node") == name:
            self._start(run_id, parent_run_id, kind="other", name=name, metadata=metadata)
            return
        if self.root is None:
            self.root = run_id
        around = self._around(parent_run_id, metadata)
        self.open[run_id] = _opened((None, name or "chain", around, None, 0.0))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **facts: Any) -> None:
        """It returned."""
        opened = self.open.get(run_id)
        if opened is not None and opened[0] is None:
            del self.open[run_id]
        else:
            self._end(run_id)
        if run_id is self.root:
            self.final = outputs

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised, or its stream was abandoned (GeneratorExit)."""
        opened = self.open.get(run_id)
        if opened is not None and opened[0] is None:
            # Told by a step inside, or a link; or `over` will be.
            if self.told is error or (run_id is self.root and not self.links):
                del self.open[run_id]
                return
            now = perf_counter()
            self.open[run_id] = _Open("other", opened.name, self._index(), opened.number, now)
        self._failed(run_id, error)

    def over(self, error: BaseException | None = None) -> None:
        """The run is over, of whose links and nodes nothing was told: write down its nodes, and where it failed."""
        name, place = place_of_error(error) if isinstance(error, Exception) else ("", "")
        told = error_text(error) if name and error is not None else None
        node = self.nodes.find(place)
        if name and self.told is not error and (node is None or name != node_name(place)):
            since = perf_counter() - self._began
            self._add(("other", name, since, 0.0, None, None, None, None, told, self._index(), node))
        for place_, index, parent, started, ended in self.nodes.all():
            failed = told if place == place_ or place.startswith(f"{place_}|") else None
            times = (started - self._began, ended - started)
            self._add(("other", node_name(place_), *times, None, None, None, None, failed, index, parent))

    def _failed(self, run_id: UUID, error: BaseException) -> None:
        self.told = error
        self._end(run_id, error=error_text(error))

    # Models.

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **facts: Any,
    ) -> None:
        """A chat model is called."""
        called = metadata.get("ls_model_name") if metadata is not None else None
        self._start(
            run_id,
            parent_run_id,
            kind="model",
            name=str(called or name or run_name(serialized, "model")),
            metadata=metadata,
        )

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **facts: Any) -> None:
        """A completion model is called."""
        self.on_chat_model_start(serialized, prompts, run_id=run_id, **facts)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **facts: Any) -> None:
        """A chunk of a stream; only the first one's time is kept."""
        if run_id not in self.first:
            self.first[run_id] = perf_counter()

    def on_llm_end(self, response: Any, *, run_id: UUID, **facts: Any) -> None:
        """It answered."""
        try:
            tokens = used_tokens(response)
        except Exception as fault:  # noqa: BLE001 - a result of an unknown shape; the mirror counts it
            self.recorder.fault, tokens = fault, (None, None)
        self._end(run_id, tokens=tokens)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._failed(run_id, error)

    # Retrievers.

    def on_retriever_start(
        self,
        serialized: Any,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **facts: Any,
    ) -> None:
        """A retriever is asked."""
        self._start(
            run_id, parent_run_id, kind="retrieval", name=name or run_name(serialized, "retriever"), metadata=metadata
        )

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **facts: Any) -> None:
        """It found documents."""
        try:
            self.recorder.add_hits(recorded_rows(documents))
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault
        self._end(run_id)

    on_retriever_error = on_llm_error

    # Tools.

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        name: str | None = None,
        **facts: Any,
    ) -> None:
        """A tool is called."""
        called = name or run_name(serialized, "tool")
        self._start(run_id, parent_run_id, kind="tool", name=called, metadata=metadata)
        inputs: Any = facts.get("inputs")
        arguments = inputs if isinstance(inputs, Mapping) else {"input": input_str}
        try:
            tags = facts.get("tags")
            silent = not tags and (not metadata or _SAYING.isdisjoint(metadata))
            effect: Effect = "unknown" if silent else said_effect(metadata, tags=tags)
            copied = argument_data(cast("Mapping[str, Any]", arguments))
            self.tools[run_id] = (copied, len(self.recorder.log), effect)
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault

    def on_tool_end(self, output: Any, *, run_id: UUID, **facts: Any) -> None:
        """It returned; a ToolMessage with status "error" is a failure that the framework turned into text."""
        content = getattr(output, "content", output)
        failed = getattr(output, "status", None) == "error"
        self._tool_ended(run_id, None if failed else content, str(content) if failed else None)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self.told = error
        self._tool_ended(run_id, None, error_text(error))

    def _tool_ended(self, run_id: UUID, result: Any, error: str | None) -> None:
        opened, asked = self.open.pop(run_id, None), self.tools.pop(run_id, None)
        if opened is None or asked is None:
            return
        _, name, index, parent, started = opened
        arguments, before, effect = asked
        if parent in self.nodes.ends:
            self.nodes.ends[parent] = perf_counter()
        # A @tool function inside the LangChain tool, and whoever answers for an interceptor, record it themselves.
        if installed.interceptor is not None or name in self.recorder.called(before) or is_delegate(result):
            return
        try:
            self.recorder.add_call(
                str(name),
                arguments,
                result,
                started=started,
                duration=perf_counter() - started,
                error=error,
                effect=effect,
                position=(index or 0, parent),
            )
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault
