"""What LangChain and LangGraph do inside a run, recorded without a change to the pipeline.

`register` is called once a process, when the pipeline has imported langchain_core. From then on every callback manager
that is made inside a recording gets a handler bound to that recording.

Chain links and graphs get no handler where the recording's own does without (`RecordingHandler.links`): they are known
by the module that asks for callbacks, since in async code an event costs a turn of the event loop as soon as there is
any handler, whatever it ignores; more than all that there is to write down.

The handler runs inline: langchain_core hands a sync handler without `run_inline` to a thread pool for each event of
async code, which costs about twenty times as much (langchain-ai/langchain#26797).
"""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from shadoweval.capture.recorder import current

if TYPE_CHECKING:
    from shadoweval.adapters.langchain.recorder_handler import RecordingHandler

__all__ = ["register"]

_CONTEXT: Final = "langchain_core.tracers.context"
"""Not loaded by `import langchain_core`, but at a process's first run."""
_LINKS: Final = "langchain_core.runnables."
"""Modules that ask for callbacks of chain links and graphs; models, retrievers and tools ask elsewhere."""
_DEPTH: Final = 3
"""Frames from `get` to who asks. Where another version has others in between, links get a handler like all."""
_frame: Any = getattr(sys, "_getframe")  # noqa: B009 - README.md, "Private hooks"
_lock = threading.Lock()
_hooks: list[Any] = []


def register() -> None:
    """Record what LangChain does in recordings from now on; once a process, whoever calls it again."""
    with _lock:
        if not _hooks:
            add: Any = importlib.import_module(_CONTEXT).register_configure_hook
            _hooks.extend((_HandlerVariable(), _StateHandlerVariable()))
            add(_hooks[0], inheritable=True)
            add(_hooks[1], inheritable=False)


class _HandlerVariable:
    """Stands where langchain_core expects a ContextVar of a handler: it only ever calls `get`."""

    def get(self) -> RecordingHandler | None:
        """The handler of this context's recording."""
        recorder = current.get()
        if recorder is None:
            return None
        handler = recorder.handler
        if handler is None:
            from shadoweval.adapters.langchain.recorder_handler import RecordingHandler  # noqa: PLC0415 - at first run

            handler = recorder.handler = RecordingHandler(recorder)
        if not handler.links and _asked_by_link():
            return None
        return handler


class _StateHandlerVariable:
    """As `_HandlerVariable`, for the outermost graph alone, whose nodes do not inherit the handler."""

    def get(self) -> RecordingHandler | None:
        """The handler, where it wants a graph's last state and has met no graph before."""
        recorder = current.get()
        handler = None if recorder is None else recorder.handler
        if handler is None or not handler.state or handler.root is not None or not _asked_by_link():
            return None
        return handler


def _asked_by_link() -> bool:
    return _frame(_DEPTH + 1).f_globals["__name__"].startswith(_LINKS)
