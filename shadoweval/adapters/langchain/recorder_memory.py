"""LangGraph's stores: what an agent reads from its long-term memory, and writes there, as steps of the run.

The public methods of every store class are wrapped, those of classes that are defined later too. A store that calls its
own methods is noted once. What a graph's checkpointer keeps between two of its steps is no step.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from types import ModuleType
from typing import Any, Final

from shadoweval.capture.recorder import Recorder, current

__all__ = ["register", "unnoted"]

_MODULE: Final = "langgraph.store.base"
_MARK: Final = "__shadoweval__"
_METHODS: Final = tuple(
    prefix + name for name in ("get", "search", "put", "delete", "list_namespaces") for prefix in ("", "a")
)
_noted: Final[ContextVar[bool]] = ContextVar("shadoweval_memory", default=False)
"""Whether the access that this code is a part of is noted already."""


@contextmanager
def unnoted() -> Generator[None]:
    """What is asked of stores here is ours, and no step of the run."""
    token = _noted.set(True)
    try:
        yield
    finally:
        _noted.reset(token)


def register() -> None:
    """Note what stores are asked in recordings from now on; once a process, whoever calls it again."""
    patch(sys.modules[_MODULE])


def patch(stores: ModuleType) -> None:
    """Have every access to a store (of `langgraph.store.base`) recorded as a step."""
    base: Any = stores.BaseStore
    if _MARK in base.__dict__:
        return
    setattr(base, _MARK, True)
    classes: list[Any] = [base]
    while classes:
        store_class = classes.pop()
        classes += store_class.__subclasses__()
        _wrap_methods(store_class)

    def defined(cls: Any, **options: Any) -> None:
        super(base, cls).__init_subclass__(**options)
        _wrap_methods(cls)

    base.__init_subclass__ = classmethod(defined)


def _wrap_methods(store_class: Any) -> None:
    for name in _METHODS:
        method = store_class.__dict__.get(name)
        if inspect.isfunction(method) and not hasattr(method, _MARK):
            step = f"memory.{name[1:] if name[0] == 'a' else name}"
            wrapped = _awaited(method, step) if inspect.iscoroutinefunction(method) else _called(method, step)
            setattr(wrapped, _MARK, True)
            setattr(store_class, name, wrapped)


def _called(method: Callable[..., Any], step: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = current.get()
        if recorder is None or _noted.get():
            return method(self, *args, **kwargs)
        with _step(recorder, step):
            return method(self, *args, **kwargs)

    return called


def _awaited(method: Callable[..., Any], step: str) -> Callable[..., Any]:
    @functools.wraps(method)
    async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = current.get()
        if recorder is None or _noted.get():
            return await method(self, *args, **kwargs)
        with _step(recorder, step):
            return await method(self, *args, **kwargs)

    return awaited


@contextmanager
def _step(recorder: Recorder, step: str) -> Generator[None]:
    """Record what is done within as one step; what that does with the store in its turn is none."""
    started = perf_counter()
    try:
        with unnoted():
            yield
    except BaseException as error:
        recorder.add_failed_step("other", step, started, error)
        raise
    recorder.add_step("other", step, started=started, duration=perf_counter() - started)
