"""How runs of graphs end, for turns that a middleware began and is never told the end of.

One handler for the process, given to graphs alone and not inherited by what they run: two events a run. The graph's
nodes run in copies of its context, by which a turn finds its run.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook
from langgraph.errors import GraphBubbleUp

__all__ = ["expect_end", "register"]

_Ended = Callable[[str, BaseException], None]
_DEPTH: Final = 4
"""Frames from `get` to the graph's method. Where another version has others in between, nothing is told."""
_METHODS: Final = frozenset({"stream", "astream"})
_lock = threading.Lock()
_registered: Final[list[Any]] = []
_run: Final[ContextVar[UUID | None]] = ContextVar("shadoweval_graph_run", default=None)
_expecting: Final[dict[UUID, dict[str, _Ended]]] = {}


class _Ends(BaseCallbackHandler):
    run_inline = True  # in the graph's own context, and no thread for each event of async code

    def on_chain_start(self, *_: Any, run_id: UUID, **__: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        _expecting[run_id] = {}
        _run.set(run_id)

    def on_chain_end(self, *_: Any, run_id: UUID, **__: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        _expecting.pop(run_id, None)  # a turn that is not over was interrupted

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        turns = _expecting.pop(run_id, {})
        if isinstance(error, GraphBubbleUp):
            return
        for key, ended in turns.items():
            ended(key, error)


class _HandlerVariable:
    """Stands where langchain_core expects a ContextVar of a handler: it only ever calls `get`."""

    def get(self) -> _Ends | None:
        """The handler, where a graph asks for it."""
        frame = inspect.currentframe()
        for _ in range(_DEPTH):
            frame = None if frame is None else frame.f_back
        if frame is None or frame.f_code.co_name not in _METHODS:
            return None
        return _ENDS if frame.f_globals.get("__name__", "").startswith("langgraph.pregel") else None


_ENDS: Final = _Ends()


def register() -> None:
    """Hear of graphs' ends from now on; once a process, whoever calls it again."""
    with _lock:
        if not _registered:
            variable: Any = _HandlerVariable()
            _registered.append(variable)
            register_configure_hook(variable, inheritable=False)


def expect_end(key: str, ended: _Ended) -> None:
    """Have `ended(key, error)` called should the run that this context lies in end with an error."""
    run = _run.get()
    turns = None if run is None else _expecting.get(run)
    if turns is not None:
        turns[key] = ended
