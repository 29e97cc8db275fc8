"""How a process that goes on for weeks meets a fault: what passes is waited for, what lasts ends it."""

from __future__ import annotations

import random
import time
from typing import Final

from shadoweval.clock import Seconds
from shadoweval.errors import CaseFileError, StoreError
from shadoweval.logs import logger

__all__ = ["Patience"]

log: Final = logger(__name__)

_FIRST: Final = 0.25
_MOST: Final = 8.0
_LASTING: Final = (PermissionError, NotADirectoryError, IsADirectoryError)


def _passes(error: BaseException) -> bool:
    """Whether it may be gone at the next try: a store that restarts, a lock, a full disk, a file that is being written.

    A wrong password, a missing table, a definition that can't be used do not pass.
    """
    if isinstance(error, StoreError):
        return error.passing
    return isinstance(error, OSError | CaseFileError) and not isinstance(error, _LASTING)


class Patience:
    """Says how long to wait before the next try: a quarter of a second, then twice as long each time, up to 8 s.

    The first failure is told in the log, and the first success after it; what comes between is not. Each wait is drawn
    between half and all of its length, so that many processes don't come back to a server together.

    Args:
        seconds: A monotonic clock.
        limit: After so many seconds of failures there is no more patience; None: it is endless.
    """

    def __init__(self, *, seconds: Seconds = time.monotonic, limit: float | None = None) -> None:
        self.trouble = ""
        """What is waited for now; empty: nothing."""
        self._seconds, self._limit = seconds, limit
        self._since = self._wait = 0.0

    def failed(self, error: BaseException) -> float:
        """Seconds to wait before the next try.

        Raises:
            BaseException: the error itself, where it does not pass or patience is at its end.
        """
        if not self.trouble:
            self._since, self._wait = self._seconds(), _FIRST
        if not _passes(error) or (self._limit is not None and self._seconds() - self._since > self._limit):
            raise error
        why = str(error)
        if not self.trouble:
            log.warning("waiting for this to pass: %s", why)
        self.trouble = why
        wait, self._wait = self._wait, min(2 * self._wait, _MOST)
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def over(self) -> None:
        """A try succeeded."""
        if self.trouble:
            log.warning("it passed after %.0f s; going on", self._seconds() - self._since)
        self.trouble = ""
