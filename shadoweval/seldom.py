"""What is counted anyhow, and told in the log only now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Final

__all__ = ["Seldom"]

_EVERY: Final = 60.0


class Seldom:
    """Says for each key whether it is time to tell it again: once a minute."""

    def __init__(self) -> None:
        self._told: dict[Hashable, float] = {}
        self._lock = threading.Lock()

    def due(self, key: Hashable) -> bool:
        """Whether to tell it now, which counts as told. Never waits."""
        now = time.monotonic()
        if not self._lock.acquire(blocking=False):  # another thread is telling; or was, when this process was forked
            return False
        try:
            if now - self._told.get(key, -_EVERY) < _EVERY:
                return False
            self._told[key] = now
        finally:
            self._lock.release()
        return True
