"""How long a process stood in line for a processor."""

from __future__ import annotations

import os
import resource
import time

__all__ = ["Line", "Waiting"]


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


class Waiting:
    """How long a run has been kept from a processor by other work since this was made.

    Args:
        line: Of its process; None: nobody knows.
        began: `time.perf_counter()` at the run's beginning.
    """

    def __init__(self, line: Line | None, began: float) -> None:
        self._line, self._began = line, began
        self._worked = 0.0 if line is None else _worked()
        self._waited = 0.0 if line is None else line.seconds()

    def seconds(self) -> float:
        """No more than what is left of the time beside the work of the process and of its children."""
        if self._line is None:
            return 0.0
        waited = self._line.seconds() - self._waited
        worked = _worked() - self._worked
        return min(max(waited, 0.0), max(time.perf_counter() - self._began - worked, 0.0))


def _worked() -> float:
    """Seconds of a processor's time of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
