"""What LangChain and LangGraph do inside a run, recorded without a change to the pipeline.

`register` is called once a process, when the pipeline has imported langchain_core. From then on every callback manager
that is made inside a recording gets a handler bound to that recording.

Chain links and graphs get no handler where the recording's own does without (`Tap.links`): they are told apart by who
asks for callbacks, since in async code to be told of an event at all costs a turn of the event loop, more than all that
there is to note.

The handler runs inline: langchain_core hands a sync handler without `run_inline` to a thread pool for each event of
async code, which costs about twenty times as much (langchain-ai/langchain#26797).
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any

from shadoweval.capture.recorder import Recorder, current

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler

__all__ = ["register"]

_CONTEXT = "langchain_core.tracers.context"
_LINKS = "langchain_core.runnables."
"""Modules that ask for callbacks of chain links and graphs; models, retrievers and tools ask elsewhere."""
_ASKING = 3
"""Frames from `get` to who asks. Where another version has others in between, links get a handler like all."""
_frame: Any = getattr(sys, "_getframe")  # noqa: B009 - CPython's and PyPy's alike, though of no public name
_lock = threading.Lock()


class _StateHook:
    """As `_Hook`, for the outermost graph alone, whose nodes do not inherit the handler."""

    def get(self) -> BaseCallbackHandler | None:
        """The handler, where it wants a graph's last state and has met no graph before."""
        recorder = current.get()
        tap = None if recorder is None else recorder.handler
        if (
            tap is None
            or not tap.state
            or tap.root is not None
            or not _frame(_ASKING).f_globals["__name__"].startswith(_LINKS)
        ):
            return None
        return tap


class _Hook:
    """Stands where langchain_core expects a ContextVar: it only ever calls `get`."""

    def get(self) -> BaseCallbackHandler | None:
        """The handler of this context's recording."""
        recorder = current.get()
        if recorder is None:
            return None
        tap = recorder.handler
        if tap is None:
            tap = recorder.handler = _tap(recorder)
        if not tap.links and _frame(_ASKING).f_globals["__name__"].startswith(_LINKS):
            return None
        return tap


_hooks: list[Any] = []


def register() -> None:
    """Record what LangChain does in recordings from now on; once a process, whoever calls it again."""
    with _lock:
        if not _hooks:
            # Not loaded by `import langchain_core`, but at a process's first run.
            add: Any = importlib.import_module(_CONTEXT).register_configure_hook
            _hooks.extend((_Hook(), _StateHook()))
            add(_hooks[0], inheritable=True)
            add(_hooks[1], inheritable=False)


def _tap(recorder: Recorder) -> Any:
    from shadoweval.adapters.langchain.recorder_handler import Tap  # noqa: PLC0415 - imports langchain_core, which is loaded by now

    return Tap(recorder)
