"""Gauges: what else the breaker checks, once a second.

A gauge is a name, a function without arguments and the largest value that is still good. Whatever can be read in
microseconds can be one; a gauge that raises counts as beyond its limit.

What the worker reports (rate limits that candidates met, and how far it is behind) is a file of a few bytes in the
folder `home`. The mirror itself asks neither provider nor spool: a slow disk or network may be what is wrong.
"""

from __future__ import annotations

import os
import struct
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import Any, Final

from shadoweval.checks import checked_fields, checked_function, checked_instance, checked_keywords
from shadoweval.clock import Seconds
from shadoweval.private import open_private, private_folder

__all__ = ["Backlog", "Gauge", "LoopLag", "Throttling", "default_gauges"]

_STATM: Final = "/proc/self/statm"
_LOST: Final = 0.1
_REFUSED: Final = 5.0
_OLDEST: Final = 3600.0
_FILL: Final = 0.8


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A value that must not be larger than `limit`."""

    name: str
    read: Callable[[], float]
    limit: float

    def __post_init__(self) -> None:
        checked_fields(self, "name", check=checked_instance, kind=str)
        checked_fields(self, "read", check=checked_function)
        checked_fields(self, "limit")

    def beyond(self) -> str | None:
        """Why the value is not good; None: it is."""
        try:
            value = self.read()
            good = value <= self.limit
        except Exception as error:  # noqa: BLE001 - users' functions; what can't be read can't be called good
            return f"{self.name} can't be read ({type(error).__name__}: {error})"
        return None if good else f"{self.name} is {value:.4g}, allowed is {self.limit:.4g}"


def resident_bytes() -> float:
    """Resident memory of this process; its peak where there is no /proc."""
    try:
        with open(_STATM, "rb") as file:  # noqa: PTH123 - on the request path, once a second
            return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))
    except FileNotFoundError:
        import resource  # noqa: PLC0415 - not on every platform

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else peak * 1024)


def running_loop() -> Any:
    """The event loop that runs in this thread; None: none."""
    asyncio: Any = sys.modules.get("asyncio.events")  # no event loop runs where nobody imported it
    return None if asyncio is None else asyncio._get_running_loop()  # noqa: SLF001 - documented; gives None instead of raising


class _Beat:
    """How late one event loop calls back, asked for again and again while somebody wants to know."""

    _EVERY: Final = 0.025
    _WANTED: Final = 30.0
    _WINDOW: Final = 10.0
    _MANY: Final = 20

    def __init__(self, loop: Any, clock: Seconds) -> None:
        self.loop = weakref.ref(loop)
        self._clock = clock
        self._late: deque[tuple[float, float]] = deque(maxlen=2 * round(self._WINDOW / self._EVERY))
        self._until = self._due = 0.0
        self._run: Any = None

    def want(self) -> None:
        """Go on for half a minute from now."""
        self._until = self._clock() + self._WANTED
        if self._run is None:
            self._ask()

    def _ask(self) -> None:
        loop = self.loop()
        if loop is not None:
            # Set anew by each run of a loop: the time between two runs, in which it does not stand still, is no lag.
            self._run = sys.get_asyncgen_hooks().firstiter
            self._due = self._clock() + self._EVERY
            loop.call_later(self._EVERY, self._called, context=Context())  # not the caller's, which it would keep alive

    def _called(self) -> None:
        now, run, self._run = self._clock(), self._run, None
        if run is sys.get_asyncgen_hooks().firstiter:
            self._late.append((now, now - self._due))
        if now < self._until:
            self._ask()

    def lag(self) -> float:
        """Seconds by which at least one in twenty of the calls of the last ten seconds was late, and at least two."""
        since = self._clock() - self._WINDOW
        late = sorted((late for at, late in tuple(self._late) if at >= since), reverse=True)
        rank = max(-(-len(late) // self._MANY), 2)
        return max(late[rank - 1], 0.0) if len(late) >= rank else 0.0


class LoopLag:
    """Seconds that event loops are late, for `Gauge(read=LoopLag())`: the worst of those that mirrored calls run in.

    While such calls come, and half a minute longer, the loop of each thread is asked to call back every 25 ms, and how
    late it does is its lag. One in twenty of the last ten seconds must be as late, and two, so that one garbage
    collection is no lag; what a loop did before says nothing any more. No thread and no task of ours; 0 outside loops.
    """

    def __init__(self, clock: Seconds = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[int, _Beat] = {}

    def watch(self) -> None:
        """Look at the loop that runs here, if one does."""
        loop = running_loop()
        if loop is None:
            return
        thread = get_ident()
        beat = self._beats.get(thread)
        if beat is None or beat.loop() is not loop:
            self._beats[thread] = beat = _Beat(loop, self._clock)
        beat.want()

    def __call__(self) -> float:
        """The lag."""
        self.watch()
        return max((beat.lag() for beat in tuple(self._beats.values())), default=0.0)


class Losses:
    """Share of the calls to be mirrored that were lately lost on the way out, read from counters in memory.

    A full spool or a broken disk costs its users nothing yet; copying calls for nobody does. The counts lose half of
    their weight every half minute, and fewer than twenty calls say nothing.
    """

    _HALF_LIFE: Final = 30.0
    _ENOUGH: Final = 20.0
    _LOST: Final = ("full", "transport_error", "fault_offer")

    def __init__(self, counters: Callable[[], Mapping[str, int]], clock: Seconds = time.monotonic) -> None:
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


class _SharedNumbers:
    """A file of floats in `home`, written in one call: a reader never sees half of them.

    Reading and writing raise OSError, and ValueError where the file is none of ours. `clock` gives seconds since
    1970, the same for all processes.
    """

    _FOLDER: str
    _LAYOUT: struct.Struct

    def __init__(self, experiment: str, *, home: Path, clock: Seconds = time.time) -> None:
        self._name = os.fspath(home.absolute() / self._FOLDER / experiment)
        self._clock = clock

    def _read(self) -> tuple[float, ...]:
        """The numbers; zeros: none were written yet."""
        try:
            descriptor = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return self._LAYOUT.unpack(bytes(self._LAYOUT.size))
        try:
            content = os.read(descriptor, self._LAYOUT.size)
        finally:
            os.close(descriptor)
        if content and len(content) != self._LAYOUT.size:
            raise ValueError(f"{len(content)} bytes where {self._LAYOUT.size} belong")
        return self._LAYOUT.unpack(content or bytes(self._LAYOUT.size))  # empty: made this moment

    def _write(self, *numbers: float) -> None:
        private_folder(Path(self._name).parent)
        descriptor = open_private(self._name, os.O_WRONLY)
        try:
            os.write(descriptor, self._LAYOUT.pack(*numbers))
        finally:
            os.close(descriptor)


class Throttling(_SharedNumbers):
    """How often providers said "too many requests" lately, shared by the processes of a host.

    A candidate that eats the quota of the incumbent's provider has to stop before users meet the limit. The count
    loses half of its weight every minute.
    """

    _FOLDER, _LAYOUT = "throttled", struct.Struct("<2d")
    _HALF_LIFE: Final = 60.0

    def add(self, count: int = 1) -> None:
        """Add answers like HTTP 429. Two processes at the same instant may count as one."""
        self._write(self._clock(), self() + count)

    def __call__(self) -> float:
        """The count now."""
        written, count = self._read()
        return count * 2.0 ** (-max(self._clock() - written, 0.0) / self._HALF_LIFE)


class Backlog(_SharedNumbers):
    """Age of the oldest waiting query, and how full the spool is; shared by the processes of a host.

    A worker that does not run reports nothing, and what it reported a minute ago counts no more: then the spool fills,
    and that is seen as losses.
    """

    _FOLDER, _LAYOUT = "backlog", struct.Struct("<3d")
    _STALE: Final = 60.0

    def report(self, *, age: float, fill: float) -> None:
        """Write how far behind the worker is: seconds, and a share of the spool's cap."""
        self._write(self._clock(), age, fill)

    def age(self) -> float:
        """Seconds for which the oldest query waits."""
        return self._fresh()[0]

    def fill(self) -> float:
        """Share of the spool's cap that is taken."""
        return self._fresh()[1]

    def _fresh(self) -> tuple[float, float]:
        written, age, fill = self._read()
        return (age, fill) if 0.0 <= self._clock() - written <= self._STALE else (0.0, 0.0)


def default_gauges(
    experiment: str, *, home: Callable[[], Path], counters: Callable[[], Mapping[str, int]]
) -> tuple[Gauge, ...]:
    """What a breaker checks where nobody chose: losses on the way out, candidates' rate limits, the worker's backlog.

    All of it is a value in memory, or a file of a few bytes in `home`.

    Where `home` is comes at the first check, since definitions read no settings.
    """
    throttling = cache(lambda: Throttling(experiment, home=home()))
    backlog = cache(lambda: Backlog(experiment, home=home()))

    def refused() -> float:
        return throttling()()

    return (
        Gauge(name="share of calls lost on the way out", read=Losses(counters), limit=_LOST),
        Gauge(name="rate limits that candidates met lately", read=refused, limit=_REFUSED),
        Gauge(name="age of the oldest waiting query in seconds", read=lambda: backlog().age(), limit=_OLDEST),
        Gauge(name="fill of the spool", read=lambda: backlog().fill(), limit=_FILL),
    )
