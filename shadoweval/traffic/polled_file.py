"""A small file whose changes are seen by content, in a poll that never waits.

Comparing modification times alone misses a file that was replaced by one with an older time, and two changes within
one tick of the file system's clock. So identity, size and both times are compared, and a file that changed within the
last two seconds is read again at every poll (what git calls racily clean).
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from shadoweval.clock import Seconds

__all__ = ["Content", "PolledFile"]

_CAP: Final = 256 * 1024
_RACY: Final = 2.0
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


class Content(NamedTuple):
    """What was read."""

    raw: bytes
    digest: bytes
    modified: int
    """Nanoseconds since 1970."""


class PolledFile:
    """Polls a file at most once in `interval` seconds.

    It need not exist. Files larger than `cap` bytes are refused, since reading and parsing happen in the caller's time.
    """

    def __init__(self, path: Path, *, interval: float = 0.1, cap: int = _CAP, clock: Seconds = time.monotonic) -> None:
        self.path = path.absolute()
        self._name = os.fspath(self.path)
        self._interval, self._cap, self._clock = interval, cap, clock
        self._polled = -float("inf")
        self._signature: tuple[int, ...] | None = None
        self._turn = os.getpid(), threading.Lock()

    def turn(self, patience: float = 0.0) -> threading.Lock | None:
        """Taken while one thread reads, and keeps what that means: release it then. None: another is at it.

        Two at once could each keep what the other has outdated, or remember a change as seen that nobody kept. Nobody
        waits longer than `patience` seconds, and a child of a fork gets one that no thread of its parent holds.
        """
        if self._turn[0] != os.getpid():
            self._turn = os.getpid(), threading.Lock()
        lock = self._turn[1]
        return lock if lock.acquire(timeout=patience) else None

    def due(self) -> bool:
        """Whether it is time for a poll; True for one caller only, which then has to ask `changed`.

        Also due where the clock stands before the last poll (a process restored from a snapshot).
        """
        now = self._clock()
        if 0.0 <= now - self._polled < self._interval:
            return False
        self._polled = now
        return True

    def changed(self) -> Content | None:
        """Content where it may have changed since the last call, else None.

        Raises:
            OSError: it is missing, unreadable, no regular file, or too large. The next call tries again.
        """
        seen, self._signature = self._signature, None
        signature = _signature(os.stat(self._name))  # noqa: PTH116 - Path.stat takes twice as long, ten times a second
        if signature == seen:
            self._signature = seen
            return None
        descriptor = os.open(self._name, _FLAGS)  # not blocking: opening a pipe would wait for its writer
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file", self._name)
            raw = _whole(descriptor, self._cap + 1)
        finally:
            os.close(descriptor)
        if len(raw) > self._cap:
            raise OSError(errno.EFBIG, f"it is larger than {self._cap:,} bytes", self._name)
        if time.time() - status.st_mtime > _RACY:
            self._signature = _signature(status)
        return Content(raw, sha256(raw).digest(), status.st_mtime_ns)


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _whole(descriptor: int, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := os.read(descriptor, most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)
