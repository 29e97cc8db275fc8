"""Calls of a runnable's entry methods, from their begin to their end.

What happens inside is seen by the recording's own handler (`recorder_hook`), which langchain_core asks for by itself
where a recording is under way; so the mirror adds none to the run's config, and a call that is not mirrored runs as it
would without us.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from time import perf_counter
from typing import Any

from langchain_core.messages import BaseMessageChunk

from shadoweval.adapters.langchain.mirror_keywords import Keywords, begun_with
from shadoweval.adapters.langchain.recorder_handler import RecordingHandler
from shadoweval.capture.chunks import WholeValue
from shadoweval.mirror.call import Call
from shadoweval.mirror.plan import Plan, Site

__all__ = ["JoinedChunks", "astreamed", "begun", "joined", "over", "raised", "returned", "streamed"]


def begun(
    site: Site | None, inputs: Any, read: Callable[[], Keywords], *, graph: Any = None, state: bool = False
) -> Call | None:
    """The call of a run with this input and the keywords that `read` gives; None: it is not mirrored.

    `graph`: the graph that runs; `state`: it streams, so that the outcome is its last state.
    """
    call = None if site is None else begun_with(site, inputs, read, graph=graph)
    if call is not None and call.recorder is not None:
        call.recorder.handler = RecordingHandler(call.recorder, links=False, state=state)
    return call


def returned(call: Call, value: Any) -> None:
    """It returned."""
    at = perf_counter()
    over(call, None)
    # langchain_core's texts are of a subclass, which the encoder does not know.
    call.returned(str.__str__(value) if isinstance(value, str) else value, at)


def raised(call: Call, error: BaseException) -> None:
    """It raised."""
    at = perf_counter()
    over(call, error)
    call.raised(error, at)


def over(call: Call, error: BaseException | None = None) -> None:
    """Its run is over: its nodes, and where it failed, are written down."""
    if call.recorder is not None:
        with call.at("outcome"):
            call.recorder.handler.over(error)


class JoinedChunks(WholeValue):
    """A stream's chunks, which langchain_core has joined into one value."""

    __slots__ = ()

    def __init__(self, value: Any, count: int, plan: Plan) -> None:
        super().__init__(value, count, max_bytes=plan.max_bytes, read=plan.outcome is None)


class _Stream:
    """A call whose answer goes to its consumer in chunks; between them the context is the consumer's."""

    __slots__ = ("call", "chunks", "count", "graph", "inside")

    def __init__(self, call: Call, *, graph: bool) -> None:
        self.call, self.graph = call, graph
        self.count = 0
        self.chunks: list[Any] = []
        self.resumed()

    def resumed(self) -> None:
        """The incumbent runs."""
        self.inside = True
        self.call.enter()

    def gave(self, chunk: Any) -> None:
        """A chunk goes to the consumer."""
        self.call.leave()
        self.inside = False
        self.count += 1
        recorder = self.call.recorder
        if recorder is not None:
            if not self.graph:
                self.chunks.append(chunk)
            if recorder.first_chunk is None:
                recorder.first_chunk = perf_counter() - recorder.began

    def raised(self, error: BaseException) -> None:
        """The incumbent raised; or its consumer went away, whatever it threw in."""
        raised(self.call, error if self.inside else GeneratorExit())

    def closing(self) -> None:
        """Whatever comes next, the incumbent's own clearing up runs as a part of the call."""
        if not self.inside:
            self.call.enter()

    def ended(self) -> None:
        """The stream ended by itself."""
        call, at = self.call, perf_counter()
        value: Any = None
        over(call, None)
        with call.at("outcome"):
            if call.recorder is not None:
                value = call.recorder.handler.final if self.graph else joined(self.chunks)
        if call.over and call.recorder is not None:  # given up and counted meanwhile
            call.given_up(at)
        elif self.count:
            call.streamed(JoinedChunks(value, self.count, call.site.plan), at)
        else:
            call.returned(value, at)


def joined(chunks: list[Any]) -> Any:
    """The chunks as one value, as langchain_core joins them: by addition; None where they can't be added."""
    if not chunks:
        return None
    first, *rest = chunks
    if isinstance(first, str):
        return "".join(map(str, chunks))
    try:
        if isinstance(first, BaseMessageChunk):
            return first + rest if rest else first
        return functools.reduce(operator.add, rest, first)
    except TypeError:
        return None


def streamed(
    begin: Callable[[], Call | None], run: Callable[[], Iterator[Any]], *, graph: bool
) -> Generator[Any, None, None]:
    """The chunks of a stream; it begins when its first chunk is asked for.

    Args:
        begin: Begins the call.
        run: Begins the incumbent's stream.
        graph: Whether it is a graph's, whose outcome is its last state; else it is its chunks joined.
    """
    call = begin()
    if call is None:
        yield from run()
        return
    stream = _Stream(call, graph=graph)
    chunks: Any = None
    try:
        chunks = run()
        for chunk in chunks:
            stream.gave(chunk)
            yield chunk
            stream.resumed()
    except BaseException as error:
        stream.closing()
        if hasattr(chunks, "close"):
            chunks.close()
        stream.raised(error)
        raise
    stream.ended()


async def astreamed(
    begin: Callable[[], Call | None], run: Callable[[], AsyncIterator[Any]], *, graph: bool
) -> AsyncGenerator[Any, None]:
    """As `streamed`."""
    call = begin()
    stream = None if call is None else _Stream(call, graph=graph)
    chunks: Any = None
    try:
        chunks = run()
        if stream is None:
            async for chunk in chunks:
                yield chunk
            return
        async for chunk in chunks:
            stream.gave(chunk)
            yield chunk
            stream.resumed()
    except BaseException as error:
        if stream is not None:
            stream.closing()
        if hasattr(chunks, "aclose"):
            await chunks.aclose()
        if stream is not None:
            stream.raised(error)
        raise
    stream.ended()
