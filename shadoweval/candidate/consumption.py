"""What a candidate returned, consumed as its caller would, inside the run: a failure at its third chunk is its own.

`consuming` is one sequence of steps for processes with and without an event loop of their own: it yields what is to be
awaited and is sent the result.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

from shadoweval.capture.chunks import Whole
from shadoweval.capture.deferred import Part, parts_of, substituted
from shadoweval.capture.framework_responses import (
    add_chunk,
    attribute_of_stream,
    is_read,
    record_of,
    record_of_read,
    yields_events,
)
from shadoweval.capture.outcomes import joined
from shadoweval.capture.responses import ResponseRecord

__all__ = ["Consumed", "adriven", "consuming", "driven", "driven_call"]

_AWAITED: Final = frozenset({"coroutine", "awaitable", "future"})
_MAX_BYTES: Final = 1 << 20
_R = TypeVar("_R")


Steps = Generator[Coroutine[Any, Any, Any], Any, _R]
"""Yields what is to be awaited, is sent the result."""


class Consumed(NamedTuple):
    """A value with nothing more to come.

    Attributes:
        value: It; None where it was a stream.
        chunks: The stream's chunks.
        chunk_count: How many chunks the streams in it gave; None: there were none.
    """

    value: Any
    chunks: list[Any] | None = None
    chunk_count: int | None = None


def driven(steps: Steps[Consumed], awaited: Callable[[Coroutine[Any, Any, Any]], Any]) -> Consumed:
    """Take the steps of `consuming` where no event loop is running; `awaited` runs a coroutine in one."""
    try:
        step = next(steps)
        while True:
            try:
                result = awaited(step)
            except BaseException as error:  # noqa: BLE001 - it is the steps' to close what they opened
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        return stop.value


def driven_call(call: Callable[[], Any], chunk: Callable[[], None], *, responses: bool) -> Consumed:
    """A call that a loop would wait for, and what it gives, consumed; for a thread of its own."""
    return driven(consuming(call(), chunk, responses=responses), asyncio.run)


async def adriven(steps: Steps[Consumed]) -> Consumed:
    """As `driven`, in the loop that is running."""
    try:
        step = next(steps)
        while True:
            try:
                result = await step
            except BaseException as error:  # noqa: BLE001 - as above
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as stop:
        return stop.value


def consuming(value: Any, chunk: Callable[[], None], *, responses: bool) -> Steps[Consumed]:
    """Consume what a candidate returned, whatever it is.

    Args:
        value: It.
        chunk: Called with each chunk.
        responses: Whether responses whose body is there already are read; else an experiment's own reading gets them.

    Raises:
        Exception: whatever its streams raise, and what a response says went wrong.
    """
    parts = parts_of(value)
    while len(parts) == 1 and parts[0].value is value and parts[0].manner in _AWAITED:
        value = yield _awaited(value)
        parts = parts_of(value)
    if not parts:
        return Consumed(value)
    if parts[0].value is not value:
        results: dict[int, Any] = {}
        total: int | None = None
        for part in parts:
            inner = yield from _consumed(part, chunk, responses=True)
            results[id(part.value)] = _whole(inner)
            total = total if inner.chunk_count is None else inner.chunk_count + (total or 0)
        return Consumed(substituted(value, results, fresh=True), chunk_count=total)
    return (yield from _consumed(parts[0], chunk, responses=responses))


def _whole(consumed: Consumed) -> Any:
    """A part's chunks as one value: their text, else a list."""
    if consumed.chunks is None:
        return consumed.value
    answer, value = joined(consumed.chunks)
    return answer if value is None else value


def _consumed(part: Part, chunk: Callable[[], None], *, responses: bool) -> Steps[Consumed]:
    manner, value = part
    if manner in _AWAITED:
        return (yield from consuming((yield _awaited(value)), chunk, responses=responses))
    if manner == "response":
        return (yield from _response(value, chunk, whole=responses))
    if manner in {"context", "async context"}:
        return (yield from _entered(value, chunk, responses=responses))
    if manner == "file":
        with closing(value):
            content = value.read()
        return Consumed(content.decode("utf-8", "replace") if isinstance(content, bytes) else content)
    if manner == "download":
        return Consumed((yield from _download(value)))
    return _put_together((yield from _chunks(value, chunk)))


def _put_together(chunks: list[Any]) -> Consumed:
    """A stream's chunks; of one that says what it comes to, that."""
    if chunks and type(chunks[-1]) is Whole:
        return Consumed(chunks[-1].value, chunk_count=len(chunks) - 1 or None)
    return Consumed(None, chunks, len(chunks))


def _entered(manager: Any, chunk: Callable[[], None], *, responses: bool) -> Steps[Consumed]:
    """What a context manager gives, consumed in it; one that gives itself (a socket, a lock) has nothing to consume."""
    if hasattr(manager, "__enter__"):
        with manager as value:
            if value is manager:
                return Consumed(value)
            return (yield from consuming(value, chunk, responses=responses))
    value = yield _awaited(manager.__aenter__())
    try:
        if value is manager:
            return Consumed(value)
        return (yield from consuming(value, chunk, responses=responses))
    finally:
        yield _awaited(manager.__aexit__(None, None, None))


def _chunks(stream: Any, chunk: Callable[[], None]) -> Steps[list[Any]]:
    if hasattr(stream, "__aiter__"):
        return (yield _agathered(stream, chunk))
    chunks: list[Any] = []
    for each in cast("Iterable[Any]", stream):
        chunk()
        chunks.append(each)
    return chunks


async def _agathered(stream: AsyncIterable[Any], chunk: Callable[[], None]) -> list[Any]:
    chunks: list[Any] = []
    async for each in stream:
        chunk()
        chunks.append(each)
    return chunks


async def _awaited(value: Any) -> Any:
    return await (asyncio.wrap_future(cast("Future[Any]", value)) if isinstance(value, Future) else value)


def _response(response: Any, chunk: Callable[[], None], *, whole: bool) -> Steps[Consumed]:
    record = record_of(response, _MAX_BYTES)
    attribute = attribute_of_stream(response)
    if attribute is not None:
        events = yields_events(response)
        for each in (yield from _chunks(getattr(response, attribute), chunk)):
            add_chunk(record, each, events=events)
    elif record.unreadable and hasattr(response, "path"):  # Starlette's FileResponse
        record = ResponseRecord(_MAX_BYTES)
        record.started(response.status_code, response.raw_headers)
        record.add(Path(response.path).read_bytes())
    if record.failure is not None:
        raise record.failure
    if attribute is None and not whole:
        return Consumed(response)
    return Consumed(record.data(), chunk_count=None if attribute is None else record.chunks or 0)


def _download(response: Any) -> Steps[dict[str, Any]]:
    """A response of requests, httpx or their kin."""
    if not is_read(response) and hasattr(response, "aread") and hasattr(response.stream, "__aiter__"):
        yield _awaited(response.aread())
    elif not is_read(response) and hasattr(response, "read"):
        response.read()
    record = record_of_read(response, _MAX_BYTES)
    if record.failure is not None:
        raise record.failure
    return record.data()
