"""Python looks for cycles rarely while very many stored records are read, which have none."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["rarely_collecting"]

_THRESHOLD: Final = (50_000, 20, 50)
"""As of `gc.set_threshold`. By CPython's 700 a look over stored pairs spends a sixth of its time looking for cycles."""


class _Lowered:
    """How many blocks are open, and what was set before the first of them; for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._before = gc.get_threshold()

    def begin(self) -> None:
        """Collect rarely, unless that was so before, or nothing is collected."""
        with self._lock:
            if self._open == 0:
                self._before = gc.get_threshold()
                if 0 < self._before[0] < _THRESHOLD[0]:
                    gc.set_threshold(*_THRESHOLD)
            self._open += 1

    def end(self) -> None:
        """As it was, once the last block is over; what somebody else has set meanwhile stays."""
        with self._lock:
            self._open -= 1
            if self._open == 0 and gc.get_threshold() == _THRESHOLD:
                gc.set_threshold(*self._before)


_lowered: Final = _Lowered()


@contextmanager
def rarely_collecting() -> Generator[None]:
    """Within the block, in the whole process, cycles are looked for once in 50,000 new objects."""
    _lowered.begin()
    try:
        yield
    finally:
        _lowered.end()
