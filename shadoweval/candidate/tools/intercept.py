"""Every tool call of a candidate's process goes to the run it belongs to, without a change to the candidate's code.

`@tool` functions ask capture's interceptor. LangChain's tools are patched where they are loaded: their classes' `_run`
and `_arun`, below validation and callbacks and above everything that calls them, so that ToolNode, nested graphs,
closures and raw threads are covered alike. Work in other threads is known to belong to its run as in production
(`adapters.threads`).
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

import msgspec

from shadoweval import capture
from shadoweval.candidate.tools.replay import Normal
from shadoweval.candidate.tools.session import Session
from shadoweval.capture.identity import parsed
from shadoweval.capture.recorder import carried
from shadoweval.capture.third_party import TABLE, adapter, connections
from shadoweval.protocols import StubAnswer
from shadoweval.records import Effect
from shadoweval.records.keys import as_text

__all__ = ["Interception", "current", "install", "session"]

session: Final[contextvars.ContextVar[Session | None]] = contextvars.ContextVar("shadoweval_session", default=None)
"""The run that the running code belongs to."""


class Interception:
    """Capture's interceptor for a candidate's process: asks the session of the run that the call belongs to."""

    def __init__(self) -> None:
        self.running: set[Session] = set()
        self.effects: Mapping[str, Effect] = {}
        self.normals: dict[str, Normal] = {}
        """Tool -> its arguments as the tool would see them; set by those who know its schema."""
        self.structured: set[str] = set()
        """Tools whose results are no text: of a recorded result that is JSON text they return what it says."""
        self.servers: Mapping[str, Sequence[str]] = {}
        """Path of a socket -> the words of the command of an MCP server that answers there."""
        self.late: list[str] = []
        """Tools that were called by what a run had left behind, after its end; each call was refused."""

    def current(self) -> Session | None:
        """The run that the calling code belongs to."""
        own = session.get()
        if own is None and len(self.running) == 1:
            (own,) = self.running
        return own

    def answer(self, name: str, arguments: dict[str, Any], *, effect: Effect, live: Callable[[], Any]) -> StubAnswer:
        """The session's answer; outside any run only declared reads run."""
        name = as_text(name)  # as it was recorded
        own = self.current()
        if own is not None:
            if own.closed:
                self.late.append(name)
            answer = own.answer(name, arguments, effect=effect, live=live, normal=self.normals.get(name))
            if name in self.structured and answer.answered in {"replayed", "simulated"}:
                structure = parsed(answer.result)
                return answer if structure is None else msgspec.structs.replace(answer, result=structure)
            return answer
        if self.effects.get(name, effect) == "read":
            return StubAnswer(answered="live", result=live())
        return StubAnswer(answered="refused", error=f"{name!r} was called outside any run")

    def happened(self, name: str, arguments: Mapping[str, Any], *, effect: Effect) -> None:
        """Counted by the run as a live write, unless it only read."""
        own = self.current()
        if own is not None:
            own.happened(name, arguments, effect=effect)

    def off_the_clock(self) -> contextlib.AbstractContextManager[object]:
        """A context whose seconds are not the candidate's."""
        own = self.current()
        return contextlib.nullcontext() if own is None else own.clock


def install(interception: Interception) -> None:
    """Make `interception` answer every tool call of this process, those of libraries that are imported later too."""
    capture.set_interceptor(interception)
    carried.append(session)
    importlib.import_module("concurrent.futures.thread")  # so that its work is carried from the beginning
    connections.connect()
    sys.meta_path.insert(0, _PatchOnImport())


def current() -> Session | None:
    """The run that the calling code belongs to, in a candidate's process."""
    interception = capture.interceptor()
    return interception.current() if isinstance(interception, Interception) else None


class _PatchOnImport(importlib.abc.MetaPathFinder):
    """Patches a library right after the module that is to be patched has run, before anyone can use it."""

    def __init__(self) -> None:
        self.waiting = set(TABLE["candidate"])

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's own spec, with a loader that patches at the end."""
        if fullname not in self.waiting:
            return None
        self.waiting.discard(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                adapter("candidate", fullname)(module)

            loader.exec_module = exec_module
        return spec
