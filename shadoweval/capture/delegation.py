"""Generators and async generators around others, watched without a change for whoever consumes them.

What is sent or thrown in reaches the inner one; what it yields, returns or raises reaches the consumer, a chunk before
the next one is produced. `yield from` would not do: it makes a `close()` of a GeneratorExit that is thrown in.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, Final, Protocol, cast

__all__ = ["Watch", "is_delegate", "over_async_generator", "over_generator"]

_codes: Final[set[types.CodeType]] = set()
"""Of the two kinds of generators that are made here."""


class Watch(Protocol):
    """Is told what happens to one stream."""

    def resumed(self) -> None:
        """It runs."""
        ...

    def yielded(self, chunk: Any, /) -> None:
        """It gave a chunk, and waits."""
        ...

    def interrupted(self, error: BaseException, /) -> None:
        """The consumer threw something in; GeneratorExit says that it goes away."""
        ...

    def returned(self, value: Any, /) -> None:
        """It ended, by itself or because its consumer went away; an async one returns None."""
        ...

    def raised(self, error: BaseException, /) -> None:
        """It raised, or was cancelled."""
        ...


Watching = Callable[[tuple[Any, ...], dict[str, Any]], Watch]
"""Begins to watch a call's stream at its first step."""


def over_generator(function: Callable[..., Any], watching: Watching) -> Callable[..., Any]:
    """A generator function, watched."""

    def delegated(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        watch = watching(args, kwargs)
        stream: Generator[Any, Any, Any] | None = None
        thrown: BaseException | None = None
        sent: Any = None
        waiting: list[Any] = []  # a chunk, until its consumer has it: nobody else shall keep it alive
        while True:
            watch.resumed()
            try:
                if stream is None:
                    stream = cast("Generator[Any, Any, Any]", function(*args, **kwargs))
                waiting.append(stream.send(sent) if thrown is None else stream.throw(thrown))
            except StopIteration as stop:
                watch.returned(stop.value)
                return stop.value
            except BaseException as error:
                watch.raised(error)
                raise
            finally:
                thrown = None  # its traceback holds this frame: they'd keep each other until the collector comes
            watch.yielded(waiting[0])
            try:
                sent = yield waiting.pop()
            except BaseException as error:  # noqa: BLE001 - thrown in or closed: the inner one decides what comes of it
                thrown = error
                watch.interrupted(error)

    _codes.add(delegated.__code__)
    if getattr(getattr(inspect.unwrap(function), "__code__", None), "co_flags", 0) & inspect.CO_ITERABLE_COROUTINE:
        return types.coroutine(delegated)  # one that is awaited
    return delegated


def is_delegate(value: Any) -> bool:
    """Whether it is a stream that is watched here."""
    kind = type(value)
    if kind is types.GeneratorType:
        return value.gi_code in _codes
    return kind is types.AsyncGeneratorType and value.ag_code in _codes


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


def over_async_generator(function: Callable[..., Any], watching: Watching) -> Callable[..., Any]:
    """An async generator function, watched."""

    async def delegated(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        watch = watching(args, kwargs)
        stream: AsyncGenerator[Any, Any] | None = None
        thrown: BaseException | None = None
        sent: Any = None
        waiting: list[Any] = []  # a chunk, until its consumer has it: nobody else shall keep it alive
        while True:
            watch.resumed()
            try:
                if stream is None:
                    stream = cast("AsyncGenerator[Any, Any]", function(*args, **kwargs))
                    waiting.append(await _first(stream))
                else:
                    waiting.append(await (stream.asend(sent) if thrown is None else stream.athrow(thrown)))
            except StopAsyncIteration:
                watch.returned(None)
                return
            except BaseException as error:
                watch.raised(error)
                raise
            finally:
                thrown = None  # its traceback holds this frame: they'd keep each other until the collector comes
            watch.yielded(waiting[0])
            try:
                sent = yield waiting.pop()
            except BaseException as error:  # noqa: BLE001 - thrown in or closed: the inner one decides what comes of it
                thrown = error
                watch.interrupted(error)

    _codes.add(delegated.__code__)
    return delegated
