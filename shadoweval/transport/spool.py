"""A folder of files as the way out of the request path: portable, durable, written by many processes at once.

`offer` is one `write()` to this process's own segment file. A frame is out of the caller's hands once it returned:
the page cache survives the death of the process. Measured against the ring in docs/decisions/0005-hand-off.md.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Final

from shadoweval.transport.frames import framed
from shadoweval.transport.ledger import Book, Ledger
from shadoweval.transport.segments import SEGMENT_BYTES, SegmentWriter, unwritable

__all__ = ["CAP_BYTES", "Room", "SpoolTransport", "weight"]

CAP_BYTES: Final = 1024 * 1024 * 1024
"""Size of all segments together at which frames are refused."""
_RETRY: Final = 0.25
_LOOK: Final = 1.0


class Room:
    """How many bytes still go into the folder under its cap; other processes write there too."""

    def __init__(self, folder: Path, cap: int) -> None:
        self._folder, self._cap = folder, cap
        self._left = 0
        self._look_at = 0.0

    def take(self, size: int) -> bool:
        """Whether `size` bytes still fit."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK
            self._left = self._cap - weight(self._folder)
        if self._left < size:
            return False
        self._left -= size
        return True


def weight(folder: Path) -> int:
    """Bytes of all segments."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".seg"):
                with contextlib.suppress(OSError):
                    total += entry.stat().st_size
    return total


def reason_of(error: OSError) -> str:
    """The loss that an error of the file system means."""
    return "full" if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} else "transport_error"


class SpoolTransport:
    """Writes frames into the spool.

    The folder is made where it is missing, mode 0700. At `cap_bytes` of all segments frames are refused as `full`.
    Calls are counted in `ledger`; by default in files beside the frames.
    """

    drafts = True

    def __init__(
        self,
        folder: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        cap_bytes: int = CAP_BYTES,
        ledger: Book | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self._segment_bytes, self._cap_bytes = segment_bytes, cap_bytes
        self.ledger = ledger or Ledger(self.folder)
        """Counters of this process."""
        self._counts = ledger is None
        self._begin()
        _open.add(self)

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._busy = False
        self._room = Room(self.folder, self._cap_bytes)
        self._segments = SegmentWriter(self.folder, segment_bytes=self._segment_bytes)
        self._tended = 0
        self._broken: str | None = None
        self._retry_at = 0.0

    def offer(self, frame: bytes) -> str | None:
        """Append one frame: None, or `full` or `transport_error`."""
        if self._broken is not None and time.monotonic() < self._retry_at:
            return self._broken
        block = framed(frame)
        try:
            with self._lock:
                if self._busy:  # a generator collected, or a signal handled, in the middle of another offer
                    return "transport_error"
                self._busy = True
                try:
                    if not self._room.take(len(block)):
                        return "full"
                    self._segments.append((block,))
                finally:
                    self._busy = False
        except OSError as error:
            self._broken = reason_of(error)
            unwritable(self.folder, error)
            self._retry_at = time.monotonic() + _RETRY
            return self._broken
        if self._broken is not None or self._tended != self._segments.sequence:
            self._broken, self._tended = None, self._segments.sequence
            self.ledger.tend()
        return None

    def close(self) -> None:
        """Let go of the segment. A later offer opens a new one."""
        with self._lock:
            self._segments.close()

    def forked(self) -> None:
        """In a child process: leave the parent's files and begin with own ones."""
        self._segments.close()
        if self._counts:  # else whoever gave them does it
            self.ledger.forked()
        self._begin()


_open: Final[weakref.WeakSet[SpoolTransport]] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_open):
        transport.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
