"""How many calls of a judge are under way: fewer after each sign that it is busy, more as long as there is none.

Additive increase, multiplicative decrease (Chiu and Jain 1989), as TCP does it. A judge's scorers share one pace.
"""

from __future__ import annotations

import asyncio
import email.utils
import threading
import time
from typing import Any, Final

__all__ = ["Pace", "retry_after"]

_LOOK: Final = 0.02
"""Seconds between two looks whether it is one's turn; a call takes far longer."""
_ROUND: Final = 1.0
"""Seconds in which several signs are one: they come from calls that were under way together."""
_LONGEST: Final = 300.0


class Pace:
    """Turns of calls, over all threads that ask the same judge."""

    def __init__(self, most: int) -> None:
        self._most, self.allowed = most, float(most)
        self._running, self._resume, self._cut = 0, 0.0, -_ROUND
        self._lock = threading.Lock()

    async def turn(self) -> None:
        """Wait until one more call may begin; `done` ends it."""
        while not self._begun():  # noqa: ASYNC110 - an event belongs to one loop, a pace to all
            await asyncio.sleep(_LOOK)

    def _begun(self) -> bool:
        with self._lock:
            if self._running >= max(1, int(self.allowed)) or time.monotonic() < self._resume:
                return False
            self._running += 1
            return True

    def done(self, *, busy: bool = False, wait: float = 0.0) -> None:
        """A call has ended; `busy`: the endpoint could not take it, and asks to be left alone for `wait` seconds."""
        now = time.monotonic()
        with self._lock:
            self._running -= 1
            if not busy:
                self.allowed = min(self._most, self.allowed + 1 / self.allowed)
                return
            self._resume = max(self._resume, now + wait)
            if now - self._cut >= _ROUND:
                self.allowed, self._cut = max(1.0, self.allowed / 2), now


def retry_after(error: BaseException) -> float:
    """Seconds that an endpoint asks to be left alone for, written as seconds or as a date; 0: it does not say."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    said = str(headers.get("retry-after", "") or "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError):
            return 0.0
    return min(_LONGEST, seconds) if seconds > 0 else 0.0  # also of NaN
