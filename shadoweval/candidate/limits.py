"""What one run of a candidate may use, and how an arm that meets rate limits is slowed."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from shadoweval.checks import checked_keywords, checked_mapping, checked_number
from shadoweval.errors import ArgumentError

__all__ = ["Limits", "RunQueue", "Throttle"]


_MILLION: Final = 1e6


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps of one run. What exceeds them is stopped and reported, and costs no other run anything."""

    seconds: float = 30.0
    """Deadline. A run that does not stop by itself is killed `grace` later."""
    grace: float = 0.25
    """Seconds in which an overdue run may still say which step it hung in, before it is killed."""
    memory_bytes: int = 2 << 30
    """What a child may use on top of what it was forked with."""
    tokens: int | None = None
    """Input and output tokens of all model calls of a run together."""
    usd: float | None = None
    """Dollars of all model calls of a run together; of those that say what they cost, or that `prices` knows."""
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Model -> dollars for a million input tokens and for a million output tokens. The name as steps have it, or how it
    begins; the longest that fits counts."""
    concurrency: int = 1
    """Envelopes that one child of an async candidate runs at a time; sync candidates always run one."""
    start_seconds: float = 300.0
    """How long importing a target and its `warm` hook may take."""
    max_bytes: int = 1 << 20
    """Cap of the recorded tool arguments and results of a run."""

    def __post_init__(self) -> None:
        for name in ("seconds", "start_seconds"):
            checked_number(f"Limits.{name}", getattr(self, name), above=0)
        checked_number("Limits.grace", self.grace, low=0)
        for name in ("memory_bytes", "concurrency", "max_bytes"):
            checked_number(f"Limits.{name}", getattr(self, name), low=1, whole=True)
        for name in ("tokens", "usd"):
            if getattr(self, name) is not None:
                checked_number(f"Limits.{name}", getattr(self, name), low=0)
        for model, price in checked_mapping("Limits.prices", self.prices).items():
            if not isinstance(price, tuple | list) or len(price) != 2:  # pyright: ignore[reportUnnecessaryIsInstance, reportUnnecessaryComparison] - users' mappings
                expected = "two numbers, dollars for a million tokens in and out"
                raise ArgumentError(f"Limits.prices[{model!r}]", price, expected=expected, mend="Write (0.25, 2.0).")
            for dollars in price:
                checked_number(f"Limits.prices[{model!r}]", dollars, low=0)

    def cost(self, model: str, tokens_in: int | None, tokens_out: int | None) -> float | None:
        """Dollars of one model call; None where its price or its tokens are not known."""
        known = max((name for name in self.prices if model.startswith(name)), key=len, default=None)
        if known is None or (tokens_in is None and tokens_out is None):
            return None
        price_in, price_out = self.prices[known]
        return ((tokens_in or 0) * price_in + (tokens_out or 0) * price_out) / _MILLION


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
            pause = self.throttle.until - loop.time()
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
