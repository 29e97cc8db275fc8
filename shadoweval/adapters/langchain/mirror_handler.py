"""The life of mirrored LangChain runs, as a callback handler sees it.

langchain_core carries the handler to every run below the mirrored one. The recording's context variable is set when
such a run starts, in the context that its body will copy; the entry methods leave their caller's context as it was,
also between the chunks of a stream. It can't be reset when a run ends: langchain_core reports the end of async runs in
another task. One handler serves all calls of a runnable; runs are told apart by their ids.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from shadoweval.adapters.langchain.mirror_announced import Invocation, announced
from shadoweval.adapters.langchain.mirror_announced import batch as batch_of
from shadoweval.adapters.langchain.mirror_entries import JoinedChunks
from shadoweval.adapters.langchain.mirror_keywords import Keywords, Sites, begun_with, keywords_of
from shadoweval.adapters.langchain.recorder_handler import RecordingHandler
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.wire.inputs import freeze_call
from shadoweval.mirror.call import Call, alone
from shadoweval.mirror.finish import finish

__all__ = ["MirrorHandler"]

_MODEL_START: Final = "on_chat_model_start"
_method: Any = functools.partialmethod
"""Untyped: langchain_core's signatures name each event's fields, which only pass through here."""


class _MirroredRun:
    """One mirrored run, and everything below it."""

    __slots__ = ("call", "handler", "invocation", "open_runs", "recorder", "run_id")

    def __init__(self, call: Call | None, invocation: Invocation | None, run_id: UUID) -> None:
        self.call, self.invocation, self.run_id = call, invocation, run_id
        self.recorder = None if call is None else call.recorder
        self.handler = None if self.recorder is None else RecordingHandler(self.recorder)
        self.open_runs = 0

    def enter(self) -> None:
        """This context belongs to the run."""
        if self.recorder is not None:
            if current.get() is not self.recorder:
                current.set(self.recorder)
        elif self.call is not None:
            alone.set(self.call)

    def record(self, event: str, *args: Any, **fields: Any) -> None:
        """Write an event down."""
        if self.handler is not None and self.call is not None:
            with self.call.at("outcome"):
                getattr(self.handler, event)(*args, **fields)

    def first_chunk(self) -> None:
        """The first piece of the answer is there."""
        recorder = self.recorder
        if recorder is not None and recorder.first_chunk is None:
            recorder.first_chunk = perf_counter() - recorder.began

    def ended(self, value: Any, error: BaseException | None, inputs: Any) -> None:
        """Hand over what it did; `inputs`: what all chunks of a piecewise input came to."""
        call, invocation = self.call, self.invocation
        if call is None:
            return
        count, at = 0, perf_counter()
        if invocation is not None:
            if invocation.piecewise and inputs is not None and inputs is not invocation.inputs:
                with call.at("snapshot"):
                    call.inputs = freeze_call((inputs,), {}, max_bytes=call.site.plan.max_bytes)
            if invocation.closing and error is None:
                error = GeneratorExit()
            count = invocation.count
        chunks = JoinedChunks(value, count, call.site.plan) if count else None
        finish(call, value, error=error, chunks=chunks, at=at)


class MirrorHandler(BaseCallbackHandler):
    """Sees every run of a runnable; a run whose parent it does not know is a call of it.

    Args:
        sites: Begin calls.
        own_body: Whether the runnable's own run executes users' code; elsewhere only runs below it do.
        bound: What was configured before the runnable was mirrored: a part of it, not of a call.
    """

    run_inline = True
    raise_error = False
    links, state = True, False

    def __init__(self, sites: Sites, *, own_body: bool = False, bound: Mapping[str, Any] | None = None) -> None:
        self.sites, self.own_body, self.bound = sites, own_body, bound or {}
        self.runs: dict[UUID | None, _MirroredRun] = {}

    def _begun(self, run_id: UUID, inputs: Any, fields: Mapping[str, Any]) -> _MirroredRun:
        invocation = announced.get()
        if invocation is not None and (invocation.handler is not self or invocation.run is not None):
            invocation = None
        read = functools.partial(self._keywords, inputs, fields, invocation)
        site = self.sites["ainvoke" if _in_a_loop() else "invoke"]
        call = begun_with(site, inputs if invocation is None else invocation.inputs, read)
        run = _MirroredRun(call, invocation, run_id)
        if invocation is not None:
            invocation.run = run
        if run.recorder is not None:
            run.recorder.handler = self  # so that the recording's hook adds none
        return run

    def _keywords(self, inputs: Any, fields: Mapping[str, Any], invocation: Invocation | None) -> Keywords:
        """What a run was called with: by the method that announced it, else as far as its metadata tell."""
        if invocation is not None:
            return keywords_of(*invocation.given)
        batch = batch_of.get()
        if batch is None or batch[0] is not self:
            return keywords_of({"metadata": fields.get("metadata")}, {}, metadata=False)
        _, all_inputs, (config, kwargs) = batch
        if isinstance(config, list):
            config = next((one for one, given in zip(config, all_inputs, strict=False) if given is inputs), None)
        return keywords_of(config, kwargs)

    def with_bound(self, bound: Any, config: Any) -> Any:
        """The config of a call, with what was bound to the runnable after it was mirrored."""
        later: Any = (bound or {}).get("configurable") or {}
        if not later or later == self.bound:
            return config
        own: Any = config or {}
        later = {name: value for name, value in later.items() if name not in self.bound or self.bound[name] != value}
        return {**own, "configurable": {**later, **(own.get("configurable") or {})}}

    def _start(self, event: str, serialized: Any, subject: Any, *, run_id: UUID, **fields: Any) -> None:
        """A run begins: a chain, graph, node, model, retriever or tool, called with `subject`."""
        run = self.runs.get(fields.get("parent_run_id")) or self._strayed()
        if run is not None:
            run.enter()
        else:
            inputs = subject[0] if event == _MODEL_START and subject else subject
            run = self._begun(run_id, fields.get("inputs") or inputs, fields)
            if self.own_body:
                run.enter()
        self.runs[run_id] = run
        run.open_runs += 1
        run.record(event, serialized, subject, run_id=run_id, **fields)

    def cut(self, recorder: Recorder) -> None:
        """A call is over: see `RecordingHandler.cut`."""
        if (handler := self._handler_of(recorder)) is not None:
            handler.cut(recorder)

    def call_around(self, recorder: Recorder) -> float | None:
        """See `RecordingHandler.call_around`."""
        handler = self._handler_of(recorder)
        return None if handler is None else handler.call_around(recorder)

    def _handler_of(self, recorder: Recorder) -> RecordingHandler | None:
        return next((run.handler for run in list(self.runs.values()) if run.recorder is recorder), None)

    def _strayed(self) -> _MirroredRun | None:
        """The call of a run that was given callbacks of its own, so that it came here through the recording's hook."""
        recorder = current.get()
        if recorder is None or recorder.handler is not self:
            return None
        return next((run for run in list(self.runs.values()) if run.recorder is recorder), None)

    def _end(self, event: str, result: Any, *, run_id: UUID, **fields: Any) -> None:
        """A run returned `result`, or raised it where the event is an error."""
        run = self.runs.pop(run_id, None)
        if run is None:
            return
        run.open_runs -= 1
        run.record(event, result, run_id=run_id)
        if run_id != run.run_id:
            return
        if run.open_runs:  # of runs that nobody ended
            for key in [key for key, other in list(self.runs.items()) if other is run]:
                self.runs.pop(key, None)
        failed = event.endswith("_error")
        value = _generated(result) if event == "on_llm_end" else result
        run.ended(None if failed else value, result if failed else None, fields.get("inputs"))

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_fields: Any) -> None:
        """A model streams; of a run that no invocation announced this is the first sign of the answer."""
        run = self.runs.get(run_id)
        if run is not None:
            run.record("on_llm_new_token", token, run_id=run_id)
            if run.invocation is None:
                run.first_chunk()

    on_chain_start = _method(_start, "on_chain_start")
    on_chat_model_start = _method(_start, _MODEL_START)
    on_llm_start = _method(_start, _MODEL_START)
    on_retriever_start = _method(_start, "on_retriever_start")
    on_tool_start = _method(_start, "on_tool_start")
    on_chain_end = _method(_end, "on_chain_end")
    on_llm_end = _method(_end, "on_llm_end")
    on_retriever_end = _method(_end, "on_retriever_end")
    on_tool_end = _method(_end, "on_tool_end")
    on_chain_error = _method(_end, "on_chain_error")
    on_llm_error = _method(_end, "on_llm_error")
    on_retriever_error = _method(_end, "on_retriever_error")
    on_tool_error = _method(_end, "on_tool_error")


def _in_a_loop() -> bool:
    """Whether async code asks: a handler that runs inline is called where the run is."""
    loaded = sys.modules.get("asyncio")
    try:
        return loaded is not None and loaded.get_running_loop() is not None
    except RuntimeError:
        return False


def _generated(response: Any) -> Any:
    """The message, or the text, of an LLMResult."""
    generation = response.generations[0][0]
    return getattr(generation, "message", None) or generation.text
