"""The functions that stand for decorated tools and steps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from time import perf_counter
from typing import Any

from shadoweval.capture.entries import NOTHING, Entries
from shadoweval.capture.generators import STREAMS, Taking, is_stream, observed_stream, returned_stream
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import current, inside

__all__ = ["observed"]

Answered = Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""Has a call answered by the interceptor, where there is one."""
Streams = Callable[..., Any]
"""Has a stream that a part of a pipeline returned noted when its chunks are taken."""
_recorder = current.get


def observed(
    function: Callable[..., Any], entries: Entries, answered: Answered | None = None, *, taking: Taking | None = None
) -> Callable[..., Any]:
    """A function of the same kind whose calls are written down; `taking` makes what takes the chunks of a stream."""
    if is_stream(function):
        return functools.wraps(function)(observed_stream(function, entries, answered, taking))
    wrap = _over_coroutine if inspect.iscoroutinefunction(function) else _over_function
    # A tool's answer in a shadow is its recorded result, so a stream that a tool returns stays what can't be copied.
    streams = functools.partial(returned_stream, entries=entries, taking=taking) if answered is None else None
    return functools.wraps(function)(wrap(function, entries, answered, streams=streams))


# The two differ in nothing but `await`. Each look that concerns nobody is a load and a test, for the sake of calls that
# are not mirrored.


def _over_function(
    function: Callable[..., Any], entries: Entries, answered: Answered | None, *, streams: Streams | None
) -> Callable[..., Any]:
    copied, ended, failed = entries.arguments, entries.ended, entries.failed

    def called(*args: Any, **kwargs: Any) -> Any:
        if not installed.watching:
            return function(*args, **kwargs)
        if answered is not None and installed.interceptor is not None:
            return answered(args, kwargs)
        recorder = _recorder()
        if recorder is None:
            return function(*args, **kwargs)
        arguments = NOTHING if copied is None else copied(recorder, args, kwargs)
        outer = inside.get()
        started = perf_counter()
        if answered is not None:
            inside.set(started)
            recorder.under_way[started] = (entries, arguments)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            inside.set(outer)
            recorder.under_way.pop(started, None)
            failed(recorder, arguments, started, error)
            raise
        inside.set(outer)
        if answered is not None:
            recorder.under_way.pop(started, None)
        if type(result) in STREAMS and streams is not None:
            watched = streams(result, recorder, arguments)
            if watched is not None:
                return watched
        ended(recorder, arguments, started, result)
        return result

    return called


def _over_coroutine(
    function: Callable[..., Any], entries: Entries, answered: Answered | None, *, streams: Streams | None
) -> Callable[..., Any]:
    copied, ended, failed = entries.arguments, entries.ended, entries.failed

    async def acalled(*args: Any, **kwargs: Any) -> Any:
        if not installed.watching:
            return await function(*args, **kwargs)
        if answered is not None and installed.interceptor is not None:
            return await answered(args, kwargs)
        recorder = _recorder()
        if recorder is None:
            return await function(*args, **kwargs)
        arguments = NOTHING if copied is None else copied(recorder, args, kwargs)
        outer = inside.get()
        started = perf_counter()
        if answered is not None:
            inside.set(started)
            recorder.under_way[started] = (entries, arguments)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            inside.set(outer)
            recorder.under_way.pop(started, None)
            failed(recorder, arguments, started, error)
            raise
        inside.set(outer)
        if answered is not None:
            recorder.under_way.pop(started, None)
        if type(result) in STREAMS and streams is not None:
            watched = streams(result, recorder, arguments)
            if watched is not None:
                return watched
        ended(recorder, arguments, started, result)
        return result

    return acalled
