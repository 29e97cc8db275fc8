"""Which of our adapters a third-party library needs: the one table, and the only way from lower rooms to `adapters`.

Adapters know foreign libraries and lie above the rooms that record, mirror and run pipelines, so these never import
them. They load an adapter by its name, and only where its library is: who does not use a library pays nothing for it.
A new library, or a new module of a known one, is a line here and a file in `adapters`.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Literal

__all__ = ["TABLE", "adapter", "called_by", "connections", "interrupt", "with_trace"]

_MCP: Final = "mcp.client.session"
_RUNNABLES: Final = "langchain_core.runnables.base"
_INTERRUPTS: Final = "langgraph.types"
_TRACING: Final = "opentelemetry.trace"

_TRIES: Final = 3
"""How often an adapter is called that raises, before its library is given up."""

TABLE: Final[Mapping[str, Mapping[str, str]]] = {
    # Called without arguments, once, when a recording begins in a process that has loaded the library.
    "recorder": {
        "asyncio.base_events": "threads:carry_tasks",
        "asyncio.queues": "queues:carry_task_queues",
        "concurrent.futures.thread": "threads:carry_executors",
        _RUNNABLES: "langchain.recorder_hook:register",
        "langgraph.store.base": "langchain.recorder_memory:register",
        _MCP: "mcp:register",
        "multiprocessing.pool": "threads:carry_pools",
        "queue": "queues:carry_queues",
        "threading": "threads:carry_threads",
        "uvloop": "threads:carry_uvloop",
    },
    # Called with a query's attributes, which it gives back with the trace that the query is a part of.
    "trace": {_TRACING: "opentelemetry:traced"},
    # Called by the methods of `Mirror` that mount it over something which is no function.
    "mirror": {
        "asgi": "asgi:ShadowASGI",
        "langchain_core": "langchain:mirrored",
        "openai": "openai:mirrored_client",
        "wsgi": "wsgi:ShadowWSGI",
    },
    # Called with a runnable and a method's name in a candidate's process: gives a function that runs it by that method.
    "run": {_RUNNABLES: "langchain.candidate_runs:called_by"},
    # Called in a candidate's process with what a tool of the incumbent asked a person, where it waited for the answer.
    "interrupt": {_INTERRUPTS: "langchain.candidate_runs:interrupted"},
    # Called with the library's module in a candidate's process, right after the module has run.
    "candidate": {
        "httpx._transports.default": "http_exchanges:patch",
        "httpx2._transports.default": "http_exchanges:patch",
        "langchain_core.caches": "langchain.candidate_memory:patch_caches",
        "langchain_core.runnables.history": "langchain.candidate_memory:patch_histories",
        "langchain_core.tools.base": "langchain.candidate_tools:patch",
        "langgraph.pregel.main": "langchain.candidate_graphs:patch",
        _MCP: "mcp:patch",
        "mcp.client.stdio": "mcp:patch_stdio",
        "qdrant_client.async_qdrant_client": "qdrant:patch",
        "qdrant_client.qdrant_client": "qdrant:patch",
    },
}
"""What happens -> third-party module -> `module:attribute` in `shadoweval.adapters` that does it."""


_PATIENCE: Final = 1.0
"""Seconds that a call waits for another thread to connect libraries; a later call finds them connected."""


@functools.cache
def adapter(side: str, library: str) -> Any:
    """What the table names, imported at first use."""
    module, _, attribute = TABLE[side][library].partition(":")
    return getattr(import_module(f"shadoweval.adapters.{module}"), attribute)


class _Connections:
    """Libraries that tell recordings what they do.

    Attributes:
        waiting: Those that don't yet, with how many tries they have left.
        modules: How many modules were loaded when it was looked last: as long as there are no more, nobody need look.
        tracing: Whether a tracing library is among them.
    """

    __slots__ = ("modules", "tracing", "waiting")

    def __init__(self) -> None:
        self.waiting = dict.fromkeys(TABLE["recorder"], _TRIES)
        self.modules = -1
        self.tracing = False

    def connect(self) -> None:
        """Connect those that were loaded meanwhile, each once; what is just being imported, when that is over.

        Raises:
            Exception: what an adapter raised. The next call tries it again, after the others.
        """
        # Bounded, since an adapter's import may wait for a module in whose body this call is made: each for the other.
        if not _lock.acquire(timeout=_PATIENCE):
            return
        try:
            self._look()
        finally:
            _lock.release()

    def _look(self) -> None:
        modules, self.modules = -1, -1  # unless all goes well the next call looks again
        while modules != len(sys.modules):  # an adapter may load the library of another one
            modules = len(sys.modules)
            self.tracing = _state(_TRACING) == "loaded"
            for library in self._loaded():
                self._connected(library)
        if "loading" not in map(_state, (_TRACING, *self.waiting)):
            self.modules = modules

    def load(self) -> None:
        """Import what `connect` would call now, and call nothing: no library is changed before a recording begins.

        Raises:
            Exception: what an adapter's import raised.
        """
        modules = -1
        while modules != len(sys.modules):
            modules = len(sys.modules)
            for library in self._loaded():
                adapter("recorder", library)

    def _loaded(self) -> list[str]:
        return [library for library in list(self.waiting) if _state(library) == "loaded"]

    def _connected(self, library: str) -> None:
        tries = self.waiting.pop(library, 0)  # first of all: what an adapter imports may look here too
        try:
            if tries:
                adapter("recorder", library)()
        except BaseException:
            if tries > 1:
                self.waiting[library] = tries - 1
            raise


def _state(library: str) -> Literal["absent", "loading", "loaded"]:
    """How far the import of a module is, which stands in `sys.modules` from its first line on."""
    module = sys.modules.get(library)
    if module is None:
        return "absent"
    return "loading" if getattr(getattr(module, "__spec__", None), "_initializing", False) else "loaded"


_lock: Final = threading.RLock()
connections: Final = _Connections()


def with_trace(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A query's attributes, with the trace that it is a part of; where `connections.tracing`."""
    return adapter("trace", _TRACING)(attributes)


def called_by(runnable: Any, method: str) -> Any:
    """A function that runs an object with `invoke` and `ainvoke` by one of its methods."""
    return adapter("run", _RUNNABLES)(runnable, method) if _RUNNABLES in sys.modules else getattr(runnable, method)


def interrupt(asked: Any) -> Any:
    """Wait for the answer to what a tool asked a person: raises, or gives the answer where it is there."""
    return adapter("interrupt", _INTERRUPTS)(asked)
