"""What else the breaker looks at, once a second: memory, the event loop, rate limits of providers.

A gauge is a name, a function without arguments and the largest value that is still good. Whatever can be read in
microseconds can be one; a gauge that raises counts as beyond its limit.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

__all__ = ["Gauge", "LoopLag", "Losses", "Throttling", "resident_bytes"]

_STATM: Final = "/proc/self/statm"
_PAIR: Final = struct.Struct("<dd")


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A value that must not be larger than `limit`."""

    name: str
    read: Callable[[], float]
    limit: float

    def beyond(self) -> str | None:
        """Why the value is not good; None: it is."""
        try:
            value = self.read()
        except Exception as error:  # noqa: BLE001 - users' functions; what can't be read can't be called good
            return f"{self.name} can't be read ({type(error).__name__}: {error})"
        return None if value <= self.limit else f"{self.name} is {value:.4g}, allowed is {self.limit:.4g}"


def resident_bytes() -> float:
    """Resident memory of this process; its peak where there is no /proc."""
    try:
        with open(_STATM, "rb") as file:  # noqa: PTH123 - on the request path, once a second
            return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except FileNotFoundError:
        import resource  # noqa: PLC0415 - not on every platform

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)


class LoopLag:
    """Seconds that the event loop takes to come round, for `Gauge(read=LoopLag())`.

    Each reading inside a running loop asks the loop to call back at once and gives what the callbacks before it took:
    the smaller of the last two, so that one garbage collection is no lag. What the loop did ten seconds ago says
    nothing any more. No thread and no task of ours; 0 outside event loops.
    """

    _STALE: Final = 10.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = -float("inf")
        self._last = self._before = 0.0

    def __call__(self) -> float:
        """The lag."""
        asyncio: Any = sys.modules.get("asyncio.events")  # no event loop runs where nobody imported it
        loop = None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - documented; gives None instead of raising
        if loop is not None:
            loop.call_soon(self._came_round, self._clock())
        return min(self._last, self._before) if 0.0 <= self._clock() - self._at <= self._STALE else 0.0

    def _came_round(self, asked: float) -> None:
        self._at = self._clock()
        self._last, self._before = self._at - asked, self._last


class Losses:
    """Share of the calls to be mirrored that were lately lost on the way out, read from counters in memory.

    A full spool or a broken disk costs its users nothing yet; copying calls for nobody does. The counts lose half of
    their weight every half minute, and fewer than twenty calls say nothing.

    Args:
        counters: Gives the counters of this process.
        clock: Monotonic seconds.
    """

    _HALF_LIFE: Final = 30.0
    _ENOUGH: Final = 20.0
    _LOST: Final = ("full", "transport_error", "fault_offer")

    def __init__(self, counters: Callable[[], Mapping[str, int]], clock: Callable[[], float] = time.monotonic) -> None:
        self._counters, self._clock = counters, clock
        self._at = clock()
        self._before = (0, 0)
        self._sent = self._lost = 0.0

    def __call__(self) -> float:
        """The share."""
        counters, now = self._counters(), self._clock()
        sent, lost = counters.get("mirrored", 0), sum(counters.get(name, 0) for name in self._LOST)
        weight = 2.0 ** (-max(now - self._at, 0.0) / self._HALF_LIFE)
        self._sent = self._sent * weight + max(sent - self._before[0], 0)  # a child of a fork begins at 0
        self._lost = self._lost * weight + max(lost - self._before[1], 0)
        self._at, self._before = now, (sent, lost)
        whole = self._sent + self._lost
        return self._lost / whole if whole >= self._ENOUGH else 0.0


class Throttling:
    """How often providers said "too many requests" lately, shared by the processes of a host.

    The worker tells (`seen`), mirrors read: a candidate that eats the quota of the incumbent's provider has to stop
    before users meet the limit. The count loses half of its weight every minute.

    Args:
        experiment: Name of the experiment.
        home: Folder of settings `home`.
        clock: Seconds since 1970, the same for all processes.
    """

    _HALF_LIFE: Final = 60.0

    def __init__(self, experiment: str, *, home: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = os.fspath(home.absolute() / "throttled" / experiment)
        self._clock = clock

    def seen(self, count: int = 1) -> None:
        """Add answers like HTTP 429. Two processes at the same instant may count as one.

        Raises:
            OSError: the file can't be written.
        """
        now = self._clock()
        Path(self._file).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            value = _faded(os.pread(descriptor, _PAIR.size, 0), now, self._HALF_LIFE) + count
            os.pwrite(descriptor, _PAIR.pack(now, value), 0)
        finally:
            os.close(descriptor)

    def __call__(self) -> float:
        """The count now.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return 0.0
        try:
            return _faded(os.read(descriptor, _PAIR.size), self._clock(), self._HALF_LIFE)
        finally:
            os.close(descriptor)


def _faded(content: bytes, now: float, half_life: float) -> float:
    if not content:
        return 0.0
    if len(content) != _PAIR.size:
        raise ValueError(f"{len(content)} bytes where {_PAIR.size} belong")
    when, value = _PAIR.unpack(content)
    return value * 2.0 ** (-max(now - when, 0.0) / half_life)
