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
from langchain_core.runnables import Runnable

from shadoweval.capture.copying import argument_data
from shadoweval.capture.effects import said_effect
from shadoweval.capture.interception import error_text, installed
from shadoweval.capture.langchain_results import document_rows, run_name, used_tokens
from shadoweval.capture.recorder import Recorder
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
        links: Whether to be told of a chain's links; else `link_raised` must be told what came out of the run.
    """

    run_inline = True
    raise_error = False

    def __init__(self, recorder: Recorder, *, links: bool = True) -> None:
        self.recorder, self.links = recorder, links
        self._add, self._index, self._began = recorder.add_step_row, recorder.next_index, recorder.began
        self.open: dict[UUID | None, _Open] = {}
        self.first: dict[UUID, float] = {}
        self.tools: dict[UUID, tuple[bytes, int, Effect]] = {}
        self.told: BaseException | None = None
        self.root: UUID | None = None
        self.final: Any = None
        """What the first chain that began here, which for a graph is itself, gave at its end."""

    def _start(self, run_id: UUID, parent: UUID | None, *, kind: _Kind, name: str) -> None:
        above = self.open.get(parent)
        self.open[run_id] = _opened((kind, name, self._index(), None if above is None else above[2], perf_counter()))

    def _end(
        self, run_id: UUID, *, error: str | None = None, tokens: tuple[int | None, int | None] = _NO_TOKENS
    ) -> None:
        opened = self.open.pop(run_id, None)
        if opened is None:
            return
        ended = perf_counter()
        kind, name, index, parent, started = opened
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
            self._start(run_id, parent_run_id, kind="other", name=name)
            return
        if self.root is None:
            self.root = run_id
        above = self.open.get(parent_run_id)
        self.open[run_id] = _opened((None, name or "chain", None if above is None else above[2], None, 0.0))

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
            if self.told is error:  # by a step inside, or a link
                del self.open[run_id]
                return
            now = perf_counter()
            self.open[run_id] = _Open("other", opened.name, self._index(), opened.number, now)
        self._failed(run_id, error)

    def link_raised(self, error: BaseException) -> None:
        """This came out of the run: the link that it came from is a step, where no step told of it."""
        if self.told is error or not isinstance(error, Exception):
            return
        name, trace = None, error.__traceback__
        while trace is not None:
            runs = trace.tb_frame.f_locals.get("self")
            name = runs.get_name() if isinstance(runs, Runnable) else name
            trace = trace.tb_next
        if name is not None:
            since, index = perf_counter() - self._began, self._index()
            row = ("other", str(name), since, 0.0, None, None, None, None, error_text(error), index, None)
            self._add(row)

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
        self._start(run_id, parent_run_id, kind="model", name=str(called or name or run_name(serialized, "model")))

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
        name: str | None = None,
        **facts: Any,
    ) -> None:
        """A retriever is asked."""
        self._start(run_id, parent_run_id, kind="retrieval", name=name or run_name(serialized, "retriever"))

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **facts: Any) -> None:
        """It found documents."""
        try:
            self.recorder.add_hits(document_rows(documents))
        except Exception as fault:  # noqa: BLE001 - as in on_llm_end
            self.recorder.fault = fault
        self._end(run_id)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._failed(run_id, error)

    # Tools.

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        name: str | None = None,
        **facts: Any,
    ) -> None:
        """A tool is called."""
        self._start(run_id, parent_run_id, kind="tool", name=name or run_name(serialized, "tool"))
        inputs: Any = facts.get("inputs")
        arguments = inputs if isinstance(inputs, Mapping) else {"input": input_str}
        try:
            metadata, tags = facts.get("metadata"), facts.get("tags")
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
        # A @tool function inside the LangChain tool, and whoever answers for an interceptor, record it themselves.
        if installed.interceptor is not None or name in self.recorder.called(before):
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
