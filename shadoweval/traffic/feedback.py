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
    """A file of a fixed count of floats, written in one call: a reader never sees half of them."""

    def __init__(self, file: Path, *, count: int) -> None:
        self._name = os.fspath(file.absolute())
        self._layout = struct.Struct(f"<{count}d")

    def read(self) -> tuple[float, ...] | None:
        """The numbers; None: none were written yet.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        try:
            descriptor = os.open(self._name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        try:
            content = os.read(descriptor, self._layout.size)
        finally:
            os.close(descriptor)
        if content and len(content) != self._layout.size:
            raise ValueError(f"{len(content)} bytes where {self._layout.size} belong")
        return self._layout.unpack(content) if content else None  # empty: made this moment

    def write(self, *numbers: float) -> None:
        """Replace the numbers.

        Raises:
            OSError: the file can't be written.
        """
        Path(self._name).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, self._layout.pack(*numbers))
        finally:
            os.close(descriptor)


class Throttling:
    """How often providers said "too many requests" lately, shared by the processes of a host.

    A candidate that eats the quota of the incumbent's provider has to stop before users meet the limit. The count
    loses half of its weight every minute.

    Args:
        experiment: Name of the experiment.
        home: Folder of settings `home`.
        clock: Seconds since 1970, the same for all processes.
    """

    _HALF_LIFE: Final = 60.0

    def __init__(self, experiment: str, *, home: Path, clock: Seconds = time.time) -> None:
        self._numbers = _SharedNumbers(home / "throttled" / experiment, count=2)
        self._clock = clock

    def add(self, count: int = 1) -> None:
        """Add answers like HTTP 429. Two processes at the same instant may count as one.

        Raises:
            OSError, ValueError: the file can't be written, or is none of ours.
        """
        self._numbers.write(self._clock(), self() + count)

    def __call__(self) -> float:
        """The count now.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        written, count = self._numbers.read() or (0.0, 0.0)
        return count * 2.0 ** (-max(self._clock() - written, 0.0) / self._HALF_LIFE)


class Backlog:
    """Age of the oldest waiting query, and how full the spool is; shared by the processes of a host.

    A worker that does not run reports nothing, and what it reported a minute ago counts no more: then the spool fills,
    and that is seen as losses.

    Args:
        experiment: Name of the experiment.
        home: Folder of settings `home`.
        clock: Seconds since 1970, the same for all processes.
    """

    _STALE: Final = 60.0

    def __init__(self, experiment: str, *, home: Path, clock: Seconds = time.time) -> None:
        self._numbers = _SharedNumbers(home / "backlog" / experiment, count=3)
        self._clock = clock

    def report(self, *, age: float, fill: float) -> None:
        """Write how far behind the worker is: seconds, and a share of the spool's cap.

        Raises:
            OSError: the file can't be written.
        """
        self._numbers.write(self._clock(), age, fill)

    def age(self) -> float:
        """Seconds for which the oldest query waits.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        return self._fresh()[0]

    def fill(self) -> float:
        """Share of the spool's cap that is taken.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        return self._fresh()[1]

    def _fresh(self) -> tuple[float, float]:
        written, age, fill = self._numbers.read() or (0.0, 0.0, 0.0)
        return (age, fill) if 0.0 <= self._clock() - written <= self._STALE else (0.0, 0.0)
