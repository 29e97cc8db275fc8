"""How long a process stood in line for a processor."""

from __future__ import annotations

import os

__all__ = ["Line"]


class Line:
    """Reads /proc/PID/schedstat (Linux, Documentation/scheduler/sched-stats) of the process that opened it.

    Raises:
        OSError: there is none on this system.
    """

    def __init__(self) -> None:
        self.descriptor = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._file = self._identity()
        self._last = 0.0

    def _identity(self) -> tuple[int, int]:
        state = os.fstat(self.descriptor)
        return state.st_dev, state.st_ino

    def seconds(self) -> float:
        """Seconds in which its first thread was ready to run and had no processor, since it began.

        Stays as it was when the candidate has closed the file, or has another in its place.
        """
        try:
            if self._identity() == self._file:
                self._last = int(os.pread(self.descriptor, 64, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            pass
        return self._last
