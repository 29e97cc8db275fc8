"""What a process holds of memory: what is resident, files without a name, and files in its scratch folder."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Final

__all__ = ["HeldMemory"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_COUNT: Final = 0.4
"""Seconds between looks at its files, which take longer than one at its pages."""
_PAUSE: Final = 20.0
"""How many times as long as a look at its files the pause after it is at least."""
_BLOCK: Final = 512
_LEAST: Final = 4096
"""What an empty file costs."""
_UNNAMED: Final = ("/memfd:", "/dev/zero")
_GONE: Final = " (deleted)"


class HeldMemory:
    """Watches one process.

    Args:
        pid: The process.
        scratch: Its folder.
        memory: Bytes that it may hold.
    """

    def __init__(self, pid: int, scratch: Path, *, memory: int) -> None:
        self._pid, self._scratch, self._memory = pid, scratch, memory
        self._files, self._next_count = 0, 0.0

    def excess(self, *, whole: bool) -> str:
        """What it holds where that is too much, else nothing. `whole`: its files are looked at in any case."""
        try:
            with open(f"/proc/{self._pid}/statm", "rb") as statm:  # noqa: PTH123 - twenty times a second
                resident = int(statm.read().split()[1]) * _PAGE
        except OSError:  # it is gone
            return ""
        began = time.monotonic()
        if whole or began >= self._next_count:
            self._files = _files_of(self._pid, self._scratch, limit=max(self._memory - resident, 0))
            ended = time.monotonic()
            self._next_count = ended + max(_COUNT, _PAUSE * (ended - began))
        if resident + self._files <= self._memory:
            return ""
        files = f" and {self._files >> 20:,} MiB in files of memory and scratch" if self._files >> 20 else ""
        return f"{resident >> 20:,} MiB resident{files}"


def _files_of(pid: int, scratch: Path, *, limit: int) -> int:
    """Bytes in files of memory that a process has open and not mapped, and in its folder; to about `limit`.

    Sources: memfd_create(2), proc_pid_fd(5), proc_pid_status(5).
    """
    seen: set[tuple[int, int]] = set()
    unnamed = 0
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as descriptors:
        for entry in descriptors:
            with contextlib.suppress(OSError):  # closed meanwhile
                name = os.readlink(entry.path)  # noqa: PTH115 - some are no paths
                if name.startswith(_UNNAMED) or name.endswith(_GONE):
                    unnamed += _size(os.stat(entry.path), seen)  # noqa: PTH116 - through the link
    total = max(unnamed - _mapped(pid), 0)
    for folder, _folders, names in os.walk(scratch):
        for name in names:
            with contextlib.suppress(OSError):
                total += _size(os.lstat(f"{folder}/{name}"), seen)
        total += _LEAST
        if total > limit:
            break
    return total


def _size(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    """What a file takes, once however often it is open or linked."""
    if (status.st_dev, status.st_ino) in seen:
        return 0
    seen.add((status.st_dev, status.st_ino))
    return max(status.st_blocks * _BLOCK, _LEAST)


def _mapped(pid: int) -> int:
    """Shared memory of a process that is resident, and so counted already."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("RssShmem:"))
    except (OSError, StopIteration):
        return 0
