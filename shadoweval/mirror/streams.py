"""Generators and async generators, watched without a change for whoever consumes them.

What is sent or thrown in reaches the incumbent; what it yields, returns or raises reaches the consumer, a chunk before
the next one is produced. `yield from` would not do: it makes a `close()` of a GeneratorExit that is thrown in. Our
context variable is set only while the incumbent runs, never across a `yield`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from time import perf_counter
from typing import Any, cast

from shadoweval.mirror.call import Call
from shadoweval.mirror.chunks import Chunks
from shadoweval.mirror.site import Site

__all__ = ["over_async_generator", "over_generator"]


class _Watch:
    """One stream under way; without a call it watches nothing."""

    __slots__ = ("call", "chunks", "closing")

    def __init__(self, call: Call | None) -> None:
        self.call = call
        self.chunks = Chunks(0 if call is None else call.site.plan.max_bytes)
        self.closing = False

    def resumed(self) -> None:
        """The incumbent runs."""
        if self.call is not None:
            self.call.enter()

    def yielded(self, chunk: Any) -> None:
        """It gave a chunk, and waits."""
        self.closing = False
        call = self.call
        if call is None:
            return
        call.leave()
        recorder = call.recorder
        if recorder is None:
            return
        if recorder.first_chunk is None:
            recorder.first_chunk = perf_counter() - recorder.began
        if type(chunk) is str:
            self.chunks.add(chunk)
        else:
            with call.at("outcome"):
                self.chunks.add(chunk)

    def interrupted(self, error: BaseException) -> None:
        """The consumer threw something in; GeneratorExit says that it goes away."""
        self.closing = isinstance(error, GeneratorExit)

    def returned(self) -> None:
        """The incumbent's stream ended, by itself or because its consumer went away."""
        if self.call is None:
            return
        if self.closing:
            self.call.raised(GeneratorExit())
        else:
            self.call.streamed(self.chunks)

    def raised(self, error: BaseException) -> None:
        """It raised, or was cancelled."""
        if self.call is not None:
            self.call.raised(error)


def over_generator(site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function, mirrored."""

    def mirrored(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        watch = _Watch(site.begin(args, kwargs))
        stream: Generator[Any, Any, Any] | None = None
        thrown: BaseException | None = None
        given: Any = None
        while True:
            watch.resumed()
            try:
                if stream is None:
                    stream = cast("Generator[Any, Any, Any]", function(*args, **kwargs))
                chunk = stream.send(given) if thrown is None else stream.throw(thrown)
            except StopIteration as stop:
                watch.returned()
                return stop.value
            except BaseException as error:
                watch.raised(error)
                raise
            finally:
                thrown = None  # its traceback holds this frame: they'd keep each other until the collector comes
            watch.yielded(chunk)
            try:
                given = yield chunk
            except BaseException as error:  # noqa: BLE001 - thrown in or closed: the incumbent decides what comes of it
                thrown = error
                watch.interrupted(error)

    return mirrored


def _first(stream: AsyncGenerator[Any, Any]) -> Awaitable[Any]:
    """The first step of a stream that the event loop is not told of.

    The loop knows ours, and closes it when it is collected or the loop shuts down; if it knew both, it would close both
    at once, and one of them would be told that it is already running.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, _left_alone)
    try:
        return stream.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _left_alone(_: AsyncGenerator[Any, Any]) -> None:
    """Collected together with ours, whose end is its end."""


def over_async_generator(site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
    """An async generator function, mirrored."""

    async def mirrored(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        watch = _Watch(site.begin(args, kwargs))
        stream: AsyncGenerator[Any, Any] | None = None
        thrown: BaseException | None = None
        given: Any = None
        while True:
            watch.resumed()
            try:
                if stream is None:
                    stream = cast("AsyncGenerator[Any, Any]", function(*args, **kwargs))
                    chunk = await _first(stream)
                else:
                    chunk = await (stream.asend(given) if thrown is None else stream.athrow(thrown))
            except StopAsyncIteration:
                watch.returned()
                return
            except BaseException as error:
                watch.raised(error)
                raise
            finally:
                thrown = None  # its traceback holds this frame: they'd keep each other until the collector comes
            watch.yielded(chunk)
            try:
                given = yield chunk
            except BaseException as error:  # noqa: BLE001 - thrown in or closed: the incumbent decides what comes of it
                thrown = error
                watch.interrupted(error)

    return mirrored
