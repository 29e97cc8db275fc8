"""Tools and steps that are generators: their chunks are the result, noted when the last one is there.

One that is still open when the run is over has the chunks that it gave until then. In a shadow an answered tool yields
the chunks of its answer.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import suppress
from time import perf_counter
from typing import Any, Final, Protocol, cast

from shadoweval.capture.copying import WHOLE
from shadoweval.capture.delegation import Watch, over_async_generator, over_generator
from shadoweval.capture.entries import NOTHING, Entries, Rows
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import Recorder, current, inside
from shadoweval.capture.wire.rows import HitRow

__all__ = ["STREAMS", "Ranked", "Taking", "gathered", "is_stream", "observed_stream", "returned_stream"]

STREAMS: Final = frozenset({types.GeneratorType, types.AsyncGeneratorType})

_MOST: Final = 10_000
_CHUNKS, _RETURNED = WHOLE


class Taker(Protocol):
    """Takes the chunks of one stream."""

    def add(self, chunk: Any, /) -> None:
        """One more."""
        ...

    def result(self, returned: Any, /) -> Any:
        """What the entry's `ended` is told."""
        ...


Taking = Callable[[Recorder], Taker]


class Ranked:
    """Rows of hits of what a retriever yields, documents or lists of them.

    Args:
        rows_of: Rows of a list of documents.
        most: How many are kept.
    """

    def __init__(self, rows_of: Callable[[Any], list[HitRow]], most: int) -> None:
        self.rows_of, self.most = rows_of, most
        self.rows: list[HitRow] = []

    def add(self, chunk: Any) -> None:
        """One more; beyond the most there is one row, so that the recorder sees that there were too many."""
        if len(self.rows) <= self.most:
            self.rows += self.rows_of(chunk if type(chunk) is list else [chunk])

    def result(self, _returned: Any) -> Rows:
        """All of them, with their ranks."""
        return Rows((row[0], rank, *row[2:]) for rank, row in enumerate(self.rows, 1))


def is_stream(function: Callable[..., Any]) -> bool:
    """Whether it is a generator or an async generator function."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def observed_stream(  # noqa: PLR0917 - as `observed`
    function: Callable[..., Any], entries: Entries, answered: Callable[..., Any] | None, taking: Taking | None
) -> Callable[..., Any]:
    """A stream that notes its calls; see `wrappers.observed`."""
    asynchronous = inspect.isasyncgenfunction(function)
    replay = _areplayed if asynchronous else _replayed

    @functools.wraps(function)
    def opened(*args: Any, **kwargs: Any) -> Any:
        if answered is not None and installed.interceptor is not None:
            return replay(answered, args, kwargs)
        return function(*args, **kwargs)

    def watching(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch:
        recorder = current.get()
        if recorder is None or (answered is not None and installed.interceptor is not None):
            return _Unwatched()  # outside a recording; or answered, and whoever does that writes it down
        arguments = NOTHING if entries.arguments is None else entries.arguments(recorder, args, kwargs)
        return _Watched(entries, recorder, arguments, taking)

    return (over_async_generator if asynchronous else over_generator)(opened, watching)


def returned_stream(
    stream: Any, recorder: Recorder, arguments: bytes, *, entries: Entries, taking: Taking | None
) -> Any:
    """A stream that a function returned, noted as those of generator functions are; None: it was begun already."""
    if inspect.isgenerator(stream) and inspect.getgeneratorstate(stream) != inspect.GEN_CREATED:
        return None
    over = over_async_generator if inspect.isasyncgen(stream) else over_generator
    opened = functools.partial(_same, stream)
    watched = over(opened, lambda _args, _kwargs: _Watched(entries, recorder, arguments, taking))()
    watched.__name__, watched.__qualname__ = stream.__name__, stream.__qualname__
    return watched


def _same(stream: Any) -> Any:
    return stream


class _Unwatched:
    """A stream of which nothing is written down."""

    def resumed(self) -> None:
        """See `Watch`."""

    def yielded(self, chunk: Any) -> None:
        """See `Watch`."""

    def interrupted(self, error: BaseException) -> None:
        """See `Watch`."""

    def returned(self, value: Any) -> None:
        """See `Watch`."""

    def raised(self, error: BaseException) -> None:
        """See `Watch`."""


class _Watched(_Unwatched):
    """One stream under way. Faults of ours stay on the recorder."""

    __slots__ = ("arguments", "closing", "entries", "outer", "over", "recorder", "started", "taker", "tool")

    def __init__(self, entries: Entries, recorder: Recorder, arguments: bytes, taking: Taking | None) -> None:  # noqa: PLR0917
        self.entries, self.recorder, self.arguments = entries, recorder, arguments
        self.closing = self.over = False
        self.tool = entries.arguments is not None
        self.started = perf_counter()
        self.taker: Taker | None = None if taking is None else taking(recorder)
        if recorder.closed:
            return
        if recorder.streams is None:
            recorder.streams = []
        recorder.streams.append(self)

    def resumed(self) -> None:
        """What runs from here to the next chunk is done by the tool."""
        if self.tool:
            self.outer = inside.get()
            inside.set(self.started)

    def _paused(self) -> None:
        if self.tool:
            inside.set(self.outer)

    def yielded(self, chunk: Any) -> None:
        self._paused()
        self.closing = False
        if self.over or self.taker is None:
            return
        since = perf_counter()
        try:
            self.taker.add(chunk)
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not reach the consumer
            self.recorder.fault, self.taker = fault, None
        self.recorder.spent(since)

    def interrupted(self, error: BaseException) -> None:
        self.closing = isinstance(error, GeneratorExit)

    def returned(self, value: Any) -> None:
        self._paused()
        self._end(value, None)

    def raised(self, error: BaseException) -> None:
        """A consumer that has had enough is no failure."""
        self._paused()
        self._end(None, None if self.closing and isinstance(error, GeneratorExit) else error)

    def cut(self) -> None:
        """The run is over, and this goes on."""
        self._end(None, None)

    def _end(self, value: Any, error: BaseException | None) -> None:
        if self.over:
            return
        self.over = True
        recorder = self.recorder
        try:
            if recorder.streams is not None:
                with suppress(ValueError):
                    recorder.streams.remove(self)
            if error is not None:
                self.entries.failed(recorder, self.arguments, self.started, error)
            else:
                result = None if self.taker is None else self.taker.result(value)
                self.entries.ended(recorder, self.arguments, self.started, result)
        except Exception as fault:  # noqa: BLE001 - see `yielded`
            recorder.fault = fault


def _told(chunks: list[Any], value: Any) -> Any:
    return chunks if value is None else {_CHUNKS: chunks, _RETURNED: value}


def _parts(answer: Any) -> tuple[list[Any], Any]:
    """Chunks and returned value of an answer: a list, what `_told` made, or a single chunk."""
    if isinstance(answer, dict) and set(cast("dict[Any, Any]", answer)) == {_CHUNKS, _RETURNED}:
        chunks, value = answer[_CHUNKS], answer[_RETURNED]
        if isinstance(chunks, list):
            return cast("list[Any]", chunks), value
    return (list(cast("list[Any]", answer)) if isinstance(answer, list | tuple) else [answer]), None


def _replayed(answered: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, Any]:
    chunks, value = _parts(answered(args, kwargs))
    for chunk in chunks:  # noqa: UP028 - `yield from` would hand a list what is sent
        yield chunk
    return value


async def _areplayed(
    answered: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, Any]:
    for chunk in _parts(await answered(args, kwargs))[0]:
        yield chunk


def gathered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that gives a stream at once, as it is noted, 10,000 chunks at most; what is none stays as it is."""
    if inspect.isasyncgenfunction(function):

        async def agather(*args: Any, **kwargs: Any) -> list[Any]:
            chunks: list[Any] = []
            stream = function(*args, **kwargs)
            async for chunk in stream:
                chunks.append(chunk)
                if len(chunks) == _MOST:
                    await stream.aclose()
                    break
            return chunks

        return agather
    if not inspect.isgeneratorfunction(function):
        return function

    def gather(*args: Any, **kwargs: Any) -> Any:
        chunks: list[Any] = []
        stream = function(*args, **kwargs)
        while len(chunks) < _MOST:
            try:
                chunks.append(next(stream))
            except StopIteration as stop:
                return _told(chunks, stop.value)
        stream.close()
        return chunks

    return gather
