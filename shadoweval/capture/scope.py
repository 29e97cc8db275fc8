"""The stretch of code whose doings are recorded."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from shadoweval.adapters.langchain.recorder_hook import watch
from shadoweval.capture.recorder import Recorder, current

__all__ = ["recording"]


@contextmanager
def recording(recorder: Recorder) -> Generator[Recorder]:
    """Record into `recorder` what this context does, LangChain included."""
    watch()
    token = current.set(recorder)
    try:
        yield recorder
    finally:
        current.reset(token)
