"""Runnables in a candidate's process: called by the method that production called the incumbent by, recorded as there.

A graph with a saver that is sync only fails under `ainvoke`, one with async nodes under `invoke`; and who streamed is
compared with who streams. So the query's entry ends in the method, and both arms are run by it.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final, Self

from langchain_core.runnables import Runnable

from shadoweval.adapters.langchain.candidate_memory import remember
from shadoweval.adapters.langchain.mirror_entries import joined
from shadoweval.adapters.langchain.mirror_keywords import MEMORY
from shadoweval.adapters.langchain.recorder_handler import RecordingHandler
from shadoweval.capture.chunks import Whole
from shadoweval.capture.recorder import current

__all__ = ["called_by", "interrupted"]

_NO_HISTORY: Final = (
    "the history of the thread, from which the call goes on, can't be read in a shadow",
    "give the graph a checkpointer in a database that the candidate may read, or an InMemorySaver without redact=",
)
"""Cause and mend, as `candidate.causes` reads them from an exception."""


def called_by(runnable: Any, method: str) -> Callable[..., Any]:
    """A function that runs it by this method; streams come chunk by chunk, and what they come to last."""
    if not isinstance(runnable, Runnable):
        return getattr(runnable, method)
    return functools.partial(_METHODS[method], runnable)


class _Recording:
    """One run, recorded as the mirror's entry methods record theirs."""

    def __init__(self, runnable: Any, *, streams: bool = False) -> None:
        self.graph = hasattr(runnable, "get_state")
        self.handler: RecordingHandler | None = None
        recorder = current.get()
        if recorder is not None:
            self.handler = RecordingHandler(recorder, links=False, state=streams and self.graph)
            recorder.handler = self.handler
        self.chunks: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if self.handler is not None:
            self.handler.over(error)
        if type(error).__name__ == "EmptyInputError":  # nothing to go on from: the thread has no checkpoint here
            error.shadow_cause = _NO_HISTORY  # pyright: ignore[reportAttributeAccessIssue, reportOptionalMemberAccess]

    def whole(self) -> Whole:
        """What the stream comes to: a graph's last state, else its chunks joined."""
        if not self.graph:
            return Whole(joined(self.chunks))
        return Whole(None if self.handler is None else self.handler.final)


def _told(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments without the thread's history, which the graphs of this run are given."""
    config = kwargs.get("config") or {}
    configurable = dict(config.get("configurable") or {})
    remember(configurable.pop(MEMORY, None))
    return args, {**kwargs, "config": {**config, "configurable": configurable}} if configurable or config else kwargs


def _text(value: Any) -> Any:
    """langchain_core's texts are of a subclass, which the encoder does not know."""
    return str.__str__(value) if isinstance(value, str) else value


def _invoked(runnable: Any, *args: Any, **kwargs: Any) -> Any:
    args, kwargs = _told(args, kwargs)
    with _Recording(runnable):
        return _text(runnable.invoke(*args, **kwargs))


async def _ainvoked(runnable: Any, *args: Any, **kwargs: Any) -> Any:
    args, kwargs = _told(args, kwargs)
    with _Recording(runnable):
        return _text(await runnable.ainvoke(*args, **kwargs))


def _streamed(runnable: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
    args, kwargs = _told(args, kwargs)
    with _Recording(runnable, streams=True) as recording:
        for chunk in runnable.stream(*args, **kwargs):
            recording.chunks.append(chunk)
            yield chunk
    yield recording.whole()


async def _astreamed(runnable: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
    args, kwargs = _told(args, kwargs)
    with _Recording(runnable, streams=True) as recording:
        async for chunk in runnable.astream(*args, **kwargs):
            recording.chunks.append(chunk)
            yield chunk
    yield recording.whole()


_METHODS: Final = {"invoke": _invoked, "ainvoke": _ainvoked, "stream": _streamed, "astream": _astreamed}


def interrupted(asked: Any) -> Any:
    """As the incumbent's tool was, which waited for the answer of a person, or handed over by a command."""
    from langgraph.errors import ParentCommand  # noqa: PLC0415 - not everybody who has chains has graphs
    from langgraph.types import Command, interrupt  # noqa: PLC0415 - as above

    if isinstance(asked, Command):
        raise ParentCommand(asked)
    return interrupt(asked)
