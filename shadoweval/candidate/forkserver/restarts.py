"""A fork server that dies before it has forked is started again after a while: its death costs no run a try."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import random
import time
from typing import Final

from shadoweval.clock import Seconds
from shadoweval.errors import CandidateError
from shadoweval.logs import logger
from shadoweval.seldom import Seldom

__all__ = ["LostError", "Restarts"]

_log: Final = logger(__name__)
_FIRST: Final = 0.1
_MOST: Final = 5.0
_ENOUGH: Final = 60.0
_LEAST: Final = 5
"""Deaths in a row, and seconds since the first of them, after which one more ends what waits."""
_FROM_OUTSIDE: Final = frozenset({"signal 9", "signal 15"})
"""What whoever kills processes sends, and the kernel without memory; other ends are the import's own."""


class LostError(CandidateError):
    """The fork server died before it had forked, so nothing was run."""

    def __init__(self) -> None:
        super().__init__("The candidate's fork server died before it had forked.")


class Restarts:
    """Deaths in a row, of fork servers that had forked nobody: how long to wait after each, and when it is enough.

    A tenth of a second, then twice as long each time, up to 5 s; each wait is drawn between half and all of its length.

    Args:
        name: Whose processes are forked, for the log.
        seconds: A monotonic clock.
    """

    def __init__(self, name: str, *, seconds: Seconds = time.monotonic) -> None:
        self.deaths: collections.Counter[str] = collections.Counter()
        """How fork servers died before they had forked, in words, and how often."""
        self._name, self._seconds, self._told = name, seconds, Seldom()
        self._row, self._since = 0, 0.0
        self.leaving = asyncio.Event()
        """Set when those who wait by now are to give up."""

    def died(self, status: str) -> None:
        """One more. `status`: how, in words."""
        self._since = self._since if self._row else self._seconds()
        self._row += 1
        self.deaths[status] += 1
        if self._told.due(self._name):
            facts = {"arm": self._name, "why": status, "deaths": self.deaths.total()}
            _log.warning("a fork server died before it had forked; it is started again", extra=facts)

    def forked(self) -> None:
        """It lived long enough: the next death is the first of its row."""
        self._row = 0

    def passing(self, status: str) -> bool:
        """Whether a target that was never imported before may be imported at the next try."""
        return status in _FROM_OUTSIDE and not self._enough()

    def _enough(self) -> bool:
        return self._row >= _LEAST and self._seconds() - self._since >= _ENOUGH

    def check(self) -> None:
        """Raises `CandidateError` after five deaths in a row and a minute; from then on at each further death."""
        if self._enough():
            lasted = self._seconds() - self._since
            raise CandidateError(
                f"The candidate's fork server died {self._row:,} times in a row within {lasted:.0f} s before it had "
                f"forked ({', '.join(f'{how}: {n:,} in all' for how, n in self.deaths.items())}). "
                "Look for who kills it: the kernel for lack of memory (dmesg), or a limit of this host."
            )

    async def wait(self, leaving: asyncio.Event) -> None:
        """Before a start: nothing where none died. `leaving`: as it was when the start was asked for.

        Raises:
            CandidateError: nobody waits for it any more (`leave`).
        """
        if not self._row:
            return
        pause = min(_FIRST * 2.0 ** (self._row - 1), _MOST) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(leaving.wait(), pause)
            raise CandidateError("Nobody waits for the process any more.")

    def leave(self) -> None:
        """Whoever waits now gives up."""
        self.leaving.set()
        self.leaving = asyncio.Event()
