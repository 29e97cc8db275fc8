"""Tools and steps that are generators: their chunks are the result, noted when the last one is there.

In a shadow an answered tool yields the chunks of its answer.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import Any, Final

from shadoweval.capture.copying import UNCOPYABLE
from shadoweval.capture.delegation import Watch, over_async_generator, over_generator
from shadoweval.capture.entries import Begin, Entry
from shadoweval.capture.interception import installed

__all__ = ["gathered", "is_stream", "observed_stream"]

_Stream = Callable[..., Any]
_MOST: Final = 10_000
_CHUNKS, _RETURNED = "chunks", "returned"


def is_stream(function: Callable[..., Any]) -> bool:
    """Whether it is a generator or an async generator function."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def observed_stream(
    function: _Stream, begin: Begin, answered: Callable[..., Any] | None, *, keep: bool
) -> Callable[..., Any]:
    """A stream that notes its calls; see `wrappers.observed`."""
    asynchronous = inspect.isasyncgenfunction(function)
    replay = _areplayed if asynchronous else _replayed

    def opened(*args: Any, **kwargs: Any) -> Any:
        if answered is not None and installed.interceptor is not None:
            return replay(answered, args, kwargs)
        return function(*args, **kwargs)

    def watching(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch:
        if answered is not None and installed.interceptor is not None:
            return _Noted(None, keep=False, tool=True)  # whoever has it answered notes it
        return _Noted(begin(args, kwargs), keep=keep, tool=answered is not None)

    return (over_async_generator if asynchronous else over_generator)(opened, watching)


class _Noted:
    """One stream under way; without an entry it watches nothing."""

    __slots__ = ("chunks", "closing", "entry", "keep", "many", "tool")

    def __init__(self, entry: Entry | None, *, keep: bool, tool: bool) -> None:
        self.entry, self.keep, self.tool = entry, keep and entry is not None, tool
        self.chunks: list[Any] = []
        self.closing = self.many = False

    def resumed(self) -> None:
        """Nothing: whatever runs around it has its recorder."""

    def yielded(self, chunk: Any) -> None:
        self.closing = False
        if self.keep:
            if len(self.chunks) < _MOST:
                self.chunks.append(chunk)
            else:
                self.many = True

    def interrupted(self, error: BaseException) -> None:
        self.closing = isinstance(error, GeneratorExit)

    def returned(self, value: Any) -> None:
        if self.entry is not None:
            self.entry.ended(self._result(value))

    def raised(self, error: BaseException) -> None:
        """A consumer that has had enough is no failure."""
        if self.entry is None:
            return
        if self.closing and isinstance(error, GeneratorExit):
            self.entry.ended(self._result(None))
        else:
            self.entry.failed(error)

    def _result(self, value: Any) -> Any:
        if self.tool:
            return {UNCOPYABLE: f"more than {_MOST:,} chunks"} if self.many else _told(self.chunks, value)
        if self.chunks and all(isinstance(chunk, list) for chunk in self.chunks):  # documents that come in lists
            return [document for chunk in self.chunks for document in chunk]
        return self.chunks


def _told(chunks: list[Any], value: Any) -> Any:
    return chunks if value is None else {_CHUNKS: chunks, _RETURNED: value}


def _parts(answer: Any) -> tuple[Iterable[Any], Any]:
    """Chunks and returned value of an answer: a list, what `_told` made, or a single chunk."""
    if isinstance(answer, dict) and set(answer) == {_CHUNKS, _RETURNED}:
        return answer[_CHUNKS], answer[_RETURNED]
    return (answer if isinstance(answer, list | tuple) else (answer,)), None


def _replayed(answered: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, None, Any]:
    chunks, value = _parts(answered(args, kwargs))
    yield from chunks
    return value


async def _areplayed(
    answered: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncGenerator[Any, None]:
    for chunk in _parts(await answered(args, kwargs))[0]:
        yield chunk


def gathered(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that gives all of a stream at once, as it is noted; whatever is no stream stays as it is."""
    if inspect.isasyncgenfunction(function):

        async def agather(*args: Any, **kwargs: Any) -> list[Any]:
            return [chunk async for chunk in function(*args, **kwargs)]

        return agather
    if not inspect.isgeneratorfunction(function):
        return function

    def gather(*args: Any, **kwargs: Any) -> Any:
        chunks: list[Any] = []
        stream = function(*args, **kwargs)
        while True:
            try:
                chunks.append(next(stream))
            except StopIteration as stop:
                return _told(chunks, stop.value)

    return gather
