"""The functions that stand for decorated tools and steps."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from shadoweval.capture.entries import Begin
from shadoweval.capture.generators import Taking, is_stream, observed_stream
from shadoweval.capture.interception import installed

__all__ = ["Answered", "observed"]

Answered = Callable[[tuple[Any, ...], dict[str, Any]], Any]
"""Has a call answered by the interceptor, where there is one."""


def observed(
    function: Callable[..., Any], begin: Begin, answered: Answered | None = None, *, taking: Taking | None = None
) -> Callable[..., Any]:
    """A function of the same kind that notes its calls; `taking` makes what takes the chunks of a stream."""
    if is_stream(function):
        return functools.wraps(function)(observed_stream(function, begin, answered, taking))
    wrap = _over_coroutine if inspect.iscoroutinefunction(function) else _over_function
    return wrap(function, begin, answered)


def _over_function(function: Callable[..., Any], begin: Begin, answered: Answered | None) -> Callable[..., Any]:
    """A function that notes its calls."""

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        if not installed.watched:
            return function(*args, **kwargs)
        if answered is not None and installed.interceptor is not None:
            return answered(args, kwargs)
        entry = begin(args, kwargs)
        if entry is None:
            return function(*args, **kwargs)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            entry.failed(error)
            raise
        entry.ended(result)
        return result

    return called


def _over_coroutine(function: Callable[..., Any], begin: Begin, answered: Answered | None) -> Callable[..., Any]:
    """A coroutine function that notes its calls."""

    @functools.wraps(function)
    async def acalled(*args: Any, **kwargs: Any) -> Any:
        if not installed.watched:
            return await function(*args, **kwargs)
        if answered is not None and installed.interceptor is not None:
            return await answered(args, kwargs)
        entry = begin(args, kwargs)
        if entry is None:
            return await function(*args, **kwargs)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            entry.failed(error)
            raise
        entry.ended(result)
        return result

    return acalled
