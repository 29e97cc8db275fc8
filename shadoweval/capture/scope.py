"""The stretch of code whose doings are recorded."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.third_party import connections

__all__ = ["recording"]


@contextmanager
def recording(recorder: Recorder) -> Generator[Recorder]:
    """Record into `recorder` what this context does, libraries that tell of themselves included."""
    if connections.waiting:
        connections.connect()
    token = current.set(recorder)
    try:
        yield recorder
    finally:
        current.reset(token)
