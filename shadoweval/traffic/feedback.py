"""What the worker reports to the mirrors' breakers: rate limits that candidates met, and how far it is behind.

Each is a file of a few bytes in the folder `home`, written by the worker and read by the processes of the host. The
mirror itself asks neither provider nor spool: a slow disk or network may be what is wrong.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from typing import Final

from shadoweval.clock import Seconds

__all__ = ["Backlog", "Throttling"]


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
        Path(self._name).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
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
