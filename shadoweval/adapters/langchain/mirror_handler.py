"""The life of mirrored LangChain runs, as a callback handler sees it.

langchain_core carries the handler to every run below the mirrored one. The recording's context variable is set when
such a run starts, in the context that its body will copy; the entry methods leave their caller's context as it was,
also between the chunks of a stream. It can't be reset when a run ends: langchain_core tells the end of async runs in
another task. One handler serves all calls of a runnable; runs are told apart by their ids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from time import perf_counter
from typing import Any, Final, Self
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler

from shadoweval.adapters.langchain.mirror_entries import Joined
from shadoweval.adapters.langchain.recorder_handler import RecordingHandler
from shadoweval.capture.recorder import current
from shadoweval.capture.wire.inputs import freeze_call
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call, alone, finish
from shadoweval.mirror.plan import Site

__all__ = ["Asked", "MirrorTap", "Place", "announced_by"]

_announced: Final[ContextVar[Asked | None]] = ContextVar("shadoweval_announced", default=None)


class Asked:
    """A call of an entry method: what was asked, and how much of the answer its consumer has got.

    As a context manager it says that the run that starts next in this context is this call's, and leaves the context
    as it was.
    """

    __slots__ = ("closing", "count", "counts", "inputs", "place", "root", "tap", "token", "whole")

    def __init__(self, tap: MirrorTap | None, inputs: Any, *, counts: bool, whole: bool = True) -> None:
        self.tap, self.inputs = tap, inputs
        self.counts, self.whole = counts, whole
        self.root: _Root | None = None
        self.token: Token[Asked | None] | None = None
        self.place = Place()
        self.count = 0
        self.closing = False

    def __enter__(self) -> Self:
        self.place = Place()
        self.token = _announced.set(self)
        return self

    def __exit__(self, *_error: object) -> None:
        self.silent()
        self.place.restore()

    def silent(self) -> None:
        """Nothing starts here any more."""
        if self.token is not None:
            with suppress(ValueError):  # whoever drives the stream changed contexts
                _announced.reset(self.token)
            self.token = None

    def chunk(self) -> None:
        """A chunk goes to the consumer."""
        self.silent()
        if self.counts and self.root is not None:
            self.count += 1
            if self.count == 1:
                self.root.chunk()


def announced_by(tap: MirrorTap | None) -> bool:
    """Whether an entry method of the same runnable has called this one, as a graph's `invoke` calls its `stream`."""
    asked = _announced.get()
    return asked is not None and asked.tap is tap and asked.root is None


class Place:
    """What a context held of ours."""

    __slots__ = ("alone", "recorder")

    def __init__(self) -> None:
        self.recorder, self.alone = current.get(), alone.get()

    def restore(self) -> None:
        """Make it so again."""
        if current.get() is not self.recorder:
            current.set(self.recorder)
        if alone.get() is not self.alone:
            alone.set(self.alone)


class _Root:
    """One mirrored run, and everything below it."""

    __slots__ = ("asked", "call", "left", "recorder", "run_id", "tap")

    def __init__(self, call: Call | None, asked: Asked | None, run_id: UUID) -> None:
        self.call, self.asked, self.run_id = call, asked, run_id
        self.recorder = None if call is None else call.recorder
        self.tap = None if self.recorder is None else RecordingHandler(self.recorder)
        self.left = 0

    def enter(self) -> None:
        """This context belongs to the run."""
        if self.recorder is not None:
            if current.get() is not self.recorder:
                current.set(self.recorder)
        elif self.call is not None:
            alone.set(self.call)

    def tell(self, event: str, *told: Any, **facts: Any) -> None:
        """Write an event down."""
        if self.tap is not None and self.call is not None:
            with self.call.at("outcome"):
                getattr(self.tap, event)(*told, **facts)

    def chunk(self) -> None:
        """The first piece of the answer is there."""
        recorder = self.recorder
        if recorder is not None and recorder.first_chunk is None:
            recorder.first_chunk = perf_counter() - recorder.began

    def ended(self, value: Any, error: BaseException | None, inputs: Any) -> None:
        """Hand over what it did."""
        call, asked = self.call, self.asked
        if call is None:
            return
        if asked is not None and not asked.whole and inputs is not None and inputs is not asked.inputs:
            with call.at("snapshot"):
                call.inputs = freeze_call((inputs,), {}, max_bytes=call.site.plan.max_bytes)
        if asked is not None and asked.closing and error is None:
            error = GeneratorExit()
        streamed = 0 if asked is None else asked.count
        chunks = Joined(value, streamed, call.site.plan) if streamed else None
        finish(call, value, error=error, chunks=chunks)


class MirrorTap(BaseCallbackHandler):
    """Sees every run of a runnable; a run whose parent it does not know is a call of it.

    Args:
        site: Begins calls.
        own_body: Whether the runnable's own run executes users' code; elsewhere only runs below it do.
    """

    run_inline = True
    raise_error = False
    links, state = True, False

    def __init__(self, site: Site, *, own_body: bool = False) -> None:
        self.site, self.own_body = site, own_body
        self.open: dict[UUID | None, _Root] = {}

    def _begun(self, run_id: UUID, inputs: Any, facts: Mapping[str, Any]) -> _Root:
        asked = _announced.get() if announced_by(self) else None
        if asked is not None:
            inputs = asked.inputs
        thread = (facts.get("metadata") or {}).get("thread_id")
        config = {} if thread is None else {"config": {"configurable": {"thread_id": str(thread)}}}
        call = begin(self.site, (inputs,), config)
        root = _Root(call, asked, run_id)
        if asked is not None:
            asked.root = root
        if root.recorder is not None:
            root.recorder.handler = self  # its hook finds this handler in place and adds none
        return root

    def _start(self, event: str, told: tuple[Any, Any], *, inputs: Any, run_id: UUID, facts: dict[str, Any]) -> None:
        root = self.open.get(facts.get("parent_run_id")) or self._astray()
        if root is not None:
            root.enter()
        else:
            root = self._begun(run_id, inputs, facts)
            if self.own_body:
                root.enter()
        self.open[run_id] = root
        root.left += 1
        root.tell(event, *told, run_id=run_id, **facts)

    def _astray(self) -> _Root | None:
        """The call of a run that was given callbacks of its own, so that it came here through the recording's hook."""
        recorder = current.get()
        if recorder is None or recorder.handler is not self:
            return None
        return next((root for root in list(self.open.values()) if root.recorder is recorder), None)

    def _end(self, event: str, told: Any, *, run_id: UUID, value: Any = None, facts: Mapping[str, Any]) -> None:
        root = self.open.pop(run_id, None)
        if root is None:
            return
        root.left -= 1
        root.tell(event, told, run_id=run_id)
        if run_id != root.run_id:
            return
        if root.left:  # runs that nobody ended
            for key in [key for key, other in list(self.open.items()) if other is root]:
                self.open.pop(key, None)
        root.ended(value, told if event.endswith("_error") else None, facts.get("inputs"))

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: UUID, **facts: Any) -> None:
        """A chain, graph or node begins."""
        self._start("on_chain_start", (serialized, inputs), inputs=inputs, run_id=run_id, facts=facts)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **facts: Any) -> None:
        """It returned."""
        self._end("on_chain_end", outputs, run_id=run_id, value=outputs, facts=facts)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised, or its stream was abandoned."""
        self._end("on_chain_error", error, run_id=run_id, facts=facts)

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: UUID, **facts: Any) -> None:
        """A chat model is called."""
        inputs = messages[0] if messages else messages
        self._start("on_chat_model_start", (serialized, messages), inputs=inputs, run_id=run_id, facts=facts)

    def on_llm_start(self, serialized: Any, prompts: Any, *, run_id: UUID, **facts: Any) -> None:
        """A completion model is called."""
        self.on_chat_model_start(serialized, prompts, run_id=run_id, **facts)

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_facts: Any) -> None:
        """A model streams; of a run that nobody announced this is the first sign of the answer."""
        root = self.open.get(run_id)
        if root is not None:
            root.tell("on_llm_new_token", token, run_id=run_id)
            if root.asked is None:
                root.chunk()

    def on_llm_end(self, response: Any, *, run_id: UUID, **facts: Any) -> None:
        """It answered."""
        self._end("on_llm_end", response, run_id=run_id, value=_generated(response), facts=facts)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._end("on_llm_error", error, run_id=run_id, facts=facts)

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: UUID, **facts: Any) -> None:
        """A retriever is asked."""
        self._start("on_retriever_start", (serialized, query), inputs=query, run_id=run_id, facts=facts)

    def on_retriever_end(self, documents: Sequence[Any], *, run_id: UUID, **facts: Any) -> None:
        """It found documents."""
        # As mappings: to look for a field that a pydantic model has not costs ten times as much.
        told = [getattr(document, "__dict__", document) for document in documents]
        self._end("on_retriever_end", told, run_id=run_id, value=documents, facts=facts)

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._end("on_retriever_error", error, run_id=run_id, facts=facts)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: UUID, **facts: Any) -> None:
        """A tool is called."""
        inputs = facts.get("inputs") or input_str
        self._start("on_tool_start", (serialized, input_str), inputs=inputs, run_id=run_id, facts=facts)

    def on_tool_end(self, output: Any, *, run_id: UUID, **facts: Any) -> None:
        """It returned."""
        self._end("on_tool_end", output, run_id=run_id, value=output, facts=facts)

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **facts: Any) -> None:
        """It raised."""
        self._end("on_tool_error", error, run_id=run_id, facts=facts)


def _generated(response: Any) -> Any:
    """The message, or the text, of an LLMResult."""
    generation = response.generations[0][0]
    return getattr(generation, "message", None) or generation.text
