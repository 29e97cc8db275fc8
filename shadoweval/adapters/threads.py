"""Work that a run hands to other threads belongs to the run: its tools, retrievers and steps are recorded there too.

Python gives a new thread an empty context, and the work of an executor the context of whoever began its thread. So what
starts work is wrapped, once a process, when the first recording begins after its module was loaded:
`Thread.start` (of `Timer` and other subclasses too), `ThreadPoolExecutor.submit` (which `map` and `run_in_executor`
call) and the methods of `multiprocessing.pool.ThreadPool`. Outside a recording they do what they did. Inside one only
our own variables come along, no variable of the application. The threads of pools themselves, which serve many runs,
get nothing.

A task of asyncio's has its maker's context, so it belongs to the run by itself; `create_task` of an event loop is
wrapped too, for when it was: what two tasks or threads do at once comes in any order.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final

from shadoweval.capture.interception import hands, installed, thread_hands
from shadoweval.capture.recorder import carried, current

__all__ = ["belonging", "carry_executors", "carry_pools", "carry_threads", "note_task", "of_task"]

_POOLS: Final = ("concurrent.futures.thread", "multiprocessing.pool", "anyio.")
"""Modules, or their beginning, whose threads wait for work of anybody's."""
_METHODS: Final = (*("apply", "apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered"),)


def belonging() -> list[tuple[ContextVar[Any], Any]]:
    """What belongs to the run that this context is a part of; empty: to none."""
    return [(variable, value) for variable in carried if (value := variable.get()) is not None]


def _with_run(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called as a part of the run that this context belongs to; itself outside a run."""
    own = belonging()
    if not own:
        return function
    moments = (*hands(), perf_counter())

    def called(*args: Any, **kwargs: Any) -> Any:
        tokens = [(variable, variable.set(value)) for variable, value in own]
        before, thread_hands.moments = thread_hands.moments, moments
        try:
            return function(*args, **kwargs)
        finally:
            thread_hands.moments = before
            for variable, token in reversed(tokens):
                variable.reset(token)

    return called


def carry_threads() -> None:
    """Threads that a run starts."""
    start = threading.Thread.start

    @functools.wraps(start)
    def started(self: threading.Thread) -> None:
        serves = f"{getattr(getattr(self, '_target', None), '__module__', '')}", type(self).__module__
        restore = None if any(module.startswith(_POOLS) for module in serves) else _carried_by(self)
        if restore is None:
            start(self)
            return
        try:
            start(self)
        except BaseException:  # it may be tried again, and is the application's thread as it was
            restore()
            raise

    threading.Thread.start = started


def _carried_by(thread: Any) -> Callable[[], None] | None:
    """Let a thread work as a part of the run that this context belongs to; gives what undoes it, None: outside a run.

    Where the thread runs what it was given (`target=`) only that is wrapped: other libraries (error monitors, tracers)
    read and replace `run` too. Elsewhere its `run` is, for one call, with whatever another library passes to it.
    """
    own: dict[str, Any] = vars(thread)
    defining = next(kind for kind in type(thread).__mro__ if "run" in vars(kind))
    name = "_target" if defining is threading.Thread and "run" not in own else "run"
    function = getattr(thread, name, None)  # `Thread.run` deletes its target
    if function is None or (ours := _with_run(function)) is function:
        return None
    before = own.get("run")

    def restore() -> None:
        if name == "_target":
            thread._target = function  # noqa: SLF001 - where `Thread.run` finds what to call
        elif before is None:
            own.pop("run", None)  # what refers to itself would be kept until the garbage is collected
        else:
            thread.run = before

    def once(*_thread: Any) -> None:
        restore()
        ours()

    setattr(thread, name, ours if name == "_target" else once)
    return restore


def carry_executors() -> None:
    """Work that a run submits to an executor of threads."""
    pool = sys.modules["concurrent.futures.thread"].ThreadPoolExecutor
    submit = pool.submit

    @functools.wraps(submit)
    def submitted(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(self, _with_run(fn), *args, **kwargs)

    pool.submit = submitted


def carry_pools() -> None:
    """Work that a run gives to a pool of threads; to one of processes it goes as it is."""
    pool = sys.modules["multiprocessing.pool"].ThreadPool
    for name in _METHODS:
        setattr(pool, name, _giving(getattr(pool, name)))


def _giving(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def given(self: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return method(self, _with_run(func), *args, **kwargs)

    return given


def carry_tasks() -> None:
    """Tasks that a run makes on an event loop of asyncio's own."""
    _note_tasks(sys.modules["asyncio.base_events"].BaseEventLoop)


def carry_uvloop() -> None:
    """Tasks that a run makes on an event loop of uvloop's."""
    _note_tasks(sys.modules["uvloop"].Loop)


_tasks: Final[weakref.WeakKeyDictionary[Any, tuple[float, ...]]] = weakref.WeakKeyDictionary()
"""Tasks that runs have made, and when work was handed over until then."""


def of_task() -> tuple[float, ...]:
    """Of the task that runs now in this thread; empty: none does, or no run has made it."""
    try:
        task = sys.modules["asyncio"].current_task()
    except RuntimeError:
        return ()
    return () if task is None else _tasks.get(task, ())


def note_task(moments: tuple[float, ...]) -> None:
    """The task that runs now in this thread does what was handed over then."""
    _note(sys.modules["asyncio"].current_task(), moments)


def _note(task: Any, moments: tuple[float, ...]) -> None:
    with contextlib.suppress(TypeError):  # made by somebody's own factory
        _tasks[task] = moments
        thread_hands.task = of_task


def _note_tasks(loop: Any) -> None:
    create_task = loop.create_task

    @functools.wraps(create_task)
    def created(self: Any, coro: Any, **options: Any) -> Any:
        if not installed.watching or current.get() is None:
            return create_task(self, coro, **options)
        moments = (*hands(), perf_counter())
        task = create_task(self, coro, **options)
        _note(task, moments)
        return task

    loop.create_task = created
