"""Work that a run puts into a queue belongs to the run, whoever takes it out: a worker that serves many runs, in turn.

`queue.Queue` and `asyncio.Queue` are wrapped, once a process, when the first recording begins after their module was
loaded. An item is noted with the run that puts it in. A thread or task that takes it out works for that run until it
takes the next one; one that makes a run of its own (it waits for results) stays with its own.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, NamedTuple

from shadoweval.adapters.threads import belonging, note_task, of_task
from shadoweval.capture.interception import hands, installed, thread_hands
from shadoweval.capture.recorder import carried, current

__all__ = ["carry_queues", "carry_task_queues"]

_NOTES: Final = "_shadoweval_runs"
"""Attribute of a queue: identity of an item -> the runs that have put it in, the first one first."""
_serves: Final[ContextVar[bool]] = ContextVar("shadoweval_serves", default=False)
"""Whether this thread or task has taken an item of some run's before."""
_MOST: Final = 10_000
"""Items noted in a queue; those that are taken out by other means stay noted."""


class _Run(NamedTuple):
    """What belongs to a run, and when work was handed over."""

    values: dict[Any, Any]
    moments: tuple[float, ...]


def carry_queues() -> None:
    """Items of `queue.Queue`, which threads wait for."""
    queue = sys.modules["queue"].Queue
    queue.put, queue.get = _noting(queue.put), _serving(queue.get, _serve_in_thread)


def carry_task_queues() -> None:
    """Items of `asyncio.Queue`, which tasks wait for."""
    queue = sys.modules["asyncio.queues"].Queue
    queue.put_nowait, queue.get_nowait = _noting(queue.put_nowait), _serving(queue.get_nowait, _serve_in_task)


def _noting(put: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(put)
    def noted(self: Any, item: Any, *args: Any, **kwargs: Any) -> Any:
        values = dict(belonging()) if installed.watching else None
        if not values:
            return put(self, item, *args, **kwargs)
        notes: dict[int, list[_Run]] = vars(self).setdefault(_NOTES, {})
        if len(notes) >= _MOST:
            notes.clear()
        runs = notes.setdefault(id(item), [])
        run = _Run(values, (*hands(), perf_counter()))
        runs.append(run)  # before it is in: whoever waits for it has it at once
        try:
            return put(self, item, *args, **kwargs)
        except BaseException:
            with suppress(ValueError):
                runs.remove(run)
            raise

    return noted


def _serving(get: Callable[..., Any], serve: Callable[[_Run | None], None]) -> Callable[..., Any]:
    @functools.wraps(get)
    def served(self: Any, *args: Any, **kwargs: Any) -> Any:
        item = get(self, *args, **kwargs)
        notes = vars(self).get(_NOTES)
        if notes is not None:  # nothing of a run's was ever in it otherwise
            runs = notes.get(id(item))
            run = runs.pop(0) if runs else None
            if runs is not None and not runs:
                notes.pop(id(item), None)
            serve(run)
        return item

    return served


def _serve_in_thread(run: _Run | None) -> None:
    if threading.current_thread() in _pool_threads():
        return  # it would go on with somebody else's work before it takes another item
    if _may_serve(run, handed=bool(thread_hands.moments)):
        _become_part(run)
        thread_hands.moments = () if run is None else run.moments


def _serve_in_task(run: _Run | None) -> None:
    if _may_serve(run, handed=bool(of_task())):
        _become_part(run)
        note_task(() if run is None else run.moments)


def _pool_threads() -> Any:
    return getattr(sys.modules.get("concurrent.futures.thread"), "_threads_queues", ())


def _may_serve(run: _Run | None, *, handed: bool) -> bool:
    """Whether it works for others: it has served an item before, or was handed its work, or is part of no run."""
    if run is None or _serves.get():
        return _serves.get()
    own = current.get()
    return handed or own is None or own.closed


def _become_part(run: _Run | None) -> None:
    _serves.set(True)
    for variable in carried:
        variable.set(None if run is None else run.values.get(variable))
