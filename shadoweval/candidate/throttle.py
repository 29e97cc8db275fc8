"""How many runs of an arm begin, in which order, and how an arm that meets rate limits is slowed."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable

__all__ = ["RunQueue", "Throttle"]


class Throttle:
    """Additive increase, multiplicative decrease of how many runs of an arm are in flight (Chiu and Jain, 1989).

    Args:
        most: Ceiling of runs in flight.
        pause: Seconds to wait after the first rate limit; doubles with each further one, up to `longest`.
        longest: Cap of the pause, and of what a server's Retry-After is followed.
    """

    def __init__(self, most: int, *, pause: float = 0.5, longest: float = 60.0) -> None:
        self.most, self.pause, self.longest = most, pause, longest
        self.allowed = float(most)
        self.until = 0.0
        """No run starts before this time (monotonic clock)."""
        self.held_until = 0.0
        """Nor before this one: somebody asked for it."""
        self.hits = 0
        """How often a rate limit was met."""
        self._next_pause = pause

    def slow(self, now: float, *, retry_after: float | None = None) -> None:
        """A run met a rate limit at `now`; several within one pause count as one."""
        self.hits += 1
        if now < self.until:
            return
        self.allowed = max(1.0, self.allowed / 2)
        self.until = now + min(self.longest, max(self._next_pause, retry_after or 0.0))
        self._next_pause = min(self.longest, self._next_pause * 2)

    def hold(self, until: float) -> None:
        """No run starts before `until`."""
        self.held_until = max(self.held_until, until)

    def succeed(self) -> None:
        """A run met none."""
        self.allowed = min(float(self.most), self.allowed + 1 / self.allowed)
        if self.allowed == self.most:
            self._next_pause = self.pause


class RunQueue:
    """Lets the runs of an arm begin in the order in which they came, as many at a time as its throttle allows."""

    def __init__(self, most: int) -> None:
        self.throttle = Throttle(most)
        self._running = 0
        self._turns: collections.deque[asyncio.Future[None]] = collections.deque()

    async def enter(self, closed: Callable[[], bool]) -> None:
        """Wait for a turn, or until `closed` says that nothing is to begin; to be followed by `leave`."""
        loop = asyncio.get_running_loop()
        while not closed():
            pause = max(self.throttle.until, self.throttle.held_until) - loop.time()
            if pause <= 0 and self._running < int(self.throttle.allowed):
                break
            turn = loop.create_future()
            self._turns.append(turn)
            timer = loop.call_later(pause, self._wake) if pause > 0 else None
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
            finally:
                if timer is not None:
                    timer.cancel()
        self._running += 1

    def leave(self) -> None:
        """A run is over."""
        self._running -= 1
        self._wake()

    def wake_all(self) -> None:
        """Have all that wait look whether they are `closed`."""
        for _ in range(len(self._turns)):
            self._wake()

    def _wake(self) -> None:
        while self._turns:
            turn = self._turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
