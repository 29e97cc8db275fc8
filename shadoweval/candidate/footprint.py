"""What a run does to its process: processor time, used and waited for."""

from __future__ import annotations

import functools
import os
import resource
import time
from typing import Final

__all__ = ["CpuMeter", "OutOfMemoryKills", "SchedStat"]

_NEGLIGIBLE: Final = 1e-4
"""Seconds that are not worth the system calls which would tell whether they were waited for a processor."""


class SchedStat:
    """Reads /proc/PID/schedstat (Linux, Documentation/scheduler/sched-stats) of the process that opened it.

    Raises:
        OSError: there is none on this system.
    """

    def __init__(self) -> None:
        self.descriptor = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._file = self._identity()

    def _identity(self) -> tuple[int, int]:
        state = os.fstat(self.descriptor)
        return state.st_dev, state.st_ino

    def waited(self) -> float:
        """Seconds in which its first thread was ready to run and had no processor, since it began; 0: nobody knows."""
        try:
            return int(os.pread(self.descriptor, 64, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):  # the candidate has closed it, or has another file in its place
            return 0.0

    def is_own(self) -> bool:
        """Whether the descriptor still is what was opened: a candidate may close it and get another by its number."""
        try:
            return self._identity() == self._file
        except OSError:
            return False


class CpuMeter:
    """A run's use of the processor, from when this was made.

    Args:
        schedstat: Of its process; None: nobody knows how long it waited.
        began: `time.perf_counter()` at the run's beginning.
    """

    def __init__(self, schedstat: SchedStat | None, began: float) -> None:
        self._schedstat, self._began = schedstat, began
        self._worked = time.process_time()
        if schedstat is not None:
            self._children, self._waited = _children(), schedstat.waited()

    def worked(self) -> float:
        """Seconds of a processor's time of this process."""
        return time.process_time() - self._worked

    def waited(self, worked: float) -> float:
        """Seconds that other work kept the run from a processor.

        No more than what is left of the time beside the work of the process (`worked`) and of its children.
        """
        if self._schedstat is None:
            return 0.0
        left = time.perf_counter() - self._began - worked
        if left < _NEGLIGIBLE:
            return 0.0
        left -= _children() - self._children
        waited = self._schedstat.waited() - self._waited
        if waited < _NEGLIGIBLE or not self._schedstat.is_own():
            return 0.0
        return min(waited, max(left, 0.0))


def _children() -> float:
    """Seconds of a processor's time of those children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class OutOfMemoryKills:
    """How many processes of this one's memory group the kernel has killed since this was made, for lack of memory.

    cgroups(7): `oom_kill` in version 2's memory.events, or in version 1's memory.oom_control.
    """

    def __init__(self) -> None:
        self._before = self._count()

    def risen(self) -> bool:
        """Whether there were any; no where nobody knows."""
        return self._count() > self._before

    def _count(self) -> int:
        for path in _memory_events():
            try:
                with open(path, encoding="ascii") as events:  # noqa: PTH123 - once a child
                    return next((int(line.split()[1]) for line in events if line.startswith("oom_kill ")), 0)
            except (OSError, ValueError):
                continue
        return 0


@functools.cache
def _memory_events() -> tuple[str, ...]:
    """Where the count may stand: below this process's group, or, where a container hides that, at the root."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as groups:  # noqa: PTH123 - text, as the kernel has it
            rows = [line.rstrip("\n").split(":", 2) for line in groups]
    except OSError:
        return ()
    paths: list[str] = []
    for _number, controllers, group in rows:
        if not controllers:
            paths += [f"/sys/fs/cgroup{group}/memory.events", "/sys/fs/cgroup/memory.events"]
        elif "memory" in controllers.split(","):
            old = "/sys/fs/cgroup/memory"
            paths += [f"{old}{group}/memory.oom_control", f"{old}/memory.oom_control"]
    return tuple(paths)
