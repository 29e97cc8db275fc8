"""What LangChain and LangGraph do inside a run, recorded without a change to the pipeline.

`watch` registers one configure hook with langchain_core, once a process and only when the pipeline has imported it.
From then on every callback manager that is made inside a recording gets a handler bound to that recording.

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

__all__ = ["hook", "watch"]

# Models, tools, retrievers and graphs all import it; the hooks' module itself is loaded at their first run only.
_LOADED = "langchain_core.runnables.base"
_CONTEXT = "langchain_core.tracers.context"
_lock = threading.Lock()


class _Hook:
    """Stands where langchain_core expects a ContextVar: it only ever calls `get`."""

    def __init__(self) -> None:
        self.registered = False

    def get(self) -> BaseCallbackHandler | None:
        """The handler of this context's recording."""
        recorder = current.get()
        if recorder is None:
            return None
        if recorder.tap is None:
            recorder.tap = _tap(recorder)
        return recorder.tap


hook = _Hook()
"""`hook.registered` spares the call of `watch` on the request path."""


def watch() -> None:
    """Record what LangChain does in recordings from now on. Costs one dictionary lookup once it is registered."""
    if not hook.registered and _LOADED in sys.modules:
        _register()


def _register() -> None:
    with _lock:
        if not hook.registered:
            importlib.import_module(_CONTEXT).register_configure_hook(hook, inheritable=True)
            hook.registered = True


def _tap(recorder: Recorder) -> Any:
    from shadoweval.capture.langchain_tap import Tap  # noqa: PLC0415 - imports langchain_core, which is loaded by now

    return Tap(recorder)
