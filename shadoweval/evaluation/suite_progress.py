"""How far a suite is, on the terminal that pytest writes to."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from shadoweval.clock import Seconds

__all__ = ["progress_on"]

_WATCHED: Final = 0.1
_SILENCE: Final = 30.0
"""Seconds between two lines where nobody looks on, and between two states of one line where somebody does."""


def progress_on(
    reporter: Any, *, capture: Any = None, watched: bool | None = None, clock: Seconds = time.monotonic
) -> Callable[[str, int, int], None]:
    """A function for `SuiteOptions.progress`.

    Args:
        reporter: pytest's terminal reporter.
        capture: pytest's capture manager, since the suite runs inside a test; None: nothing is captured.
        watched: Whether it is a terminal, where one line is written over; None: as stdout is.
        clock: Now.
    """
    seen = (sys.__stdout__ is not None and sys.__stdout__.isatty()) if watched is None else watched
    pause = _WATCHED if seen else _SILENCE
    due = clock() + pause

    def progress(experiment: str, done: int, of: int) -> None:
        nonlocal due
        last = seen and done >= of
        if clock() < due and not last:
            return
        due = clock() + pause
        words = f"shadow {experiment}: {done:,} of {of:,} runs"
        line = "\r\x1b[K" if last else f"\r{words}\x1b[K" if seen else f"\n{words}"
        with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
            reporter.write(line, flush=True)

    return progress
