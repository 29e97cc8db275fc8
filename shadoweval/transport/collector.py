"""The process beside the application that moves frames from its ring into the spool.

It is started by `RingTransport`, at low priority and in a session of its own, and outlives its application until the
ring is empty. A frame leaves the ring only when its segment has it: if the disk is full the ring fills up, and the
application counts what doesn't fit. Every 100 ms what was written is made to survive a power loss as well. At each look
it copies what the application counted in the ring's first page into the application's files.

    python -c '...; main()' DESCRIPTOR FOLDER APPLICATION-PID SEGMENT-BYTES CAP-BYTES
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from shadoweval.priority import LEVEL, session_level, step_back
from shadoweval.transport.frames import header
from shadoweval.transport.ring import CountCopies, Ring
from shadoweval.transport.segments import SegmentWriter, new_writer
from shadoweval.transport.spool import Room

__all__ = ["main"]

_BLOCK: Final = 256 * 1024
"""Bytes moved at once; what fits into the processor's own cache costs half as much a frame as 1 MiB does."""
_FRAMES: Final = 500
"""Of two parts each; see `SegmentWriter.append`."""
_SYNC: Final = 0.1
_SHORT: Final = 0.005
_LONG: Final = 0.025
_ORPHAN_PATIENCE: Final = 60.0
"""Seconds for which an orphan tries to write into a folder that it can't write."""


class Collector:
    """Moves frames from a ring into a spool.

    At a spool of `cap_bytes` it waits for the worker.
    """

    def __init__(self, ring: Ring, folder: Path, *, segment_bytes: int, cap_bytes: int) -> None:
        self._ring = ring
        self._segments = SegmentWriter(folder, new_writer(), segment_bytes=segment_bytes)
        self._room = Room(folder, cap_bytes)
        self._counts = CountCopies(ring, folder)
        self._counts.update()  # the files are held from now on
        self._dirty = self._hurries = False
        self._synced = time.monotonic()

    def move(self) -> bool:
        """Move one block of frames. False: there was none, or it can't be written now."""
        parts = [part for frame in islice(self._ring.take(_BLOCK), _FRAMES) for part in (header(frame), frame)]
        if not parts:
            return False
        try:
            if not self._room.take(sum(map(len, parts))):
                self._ring.again()
                return False
            self._segments.append(parts)
        except OSError:
            self._ring.again()
            return False
        self._ring.taken()
        self._dirty = True
        return True

    def sync(self, *, now: bool = False) -> None:
        """Make what was moved survive a power loss, every 100 ms."""
        moment = time.monotonic()
        if self._dirty and (now or moment - self._synced >= _SYNC):
            with contextlib.suppress(OSError):
                self._segments.sync()
            self._dirty, self._synced = False, moment

    def _keep_up(self) -> None:
        """Ask for as much of the processor as the application has while a quarter of the ring waits."""
        hurry = self._ring.waiting > self._ring.size >> 2
        if hurry != self._hurries and session_level(0 if hurry else LEVEL):
            self._hurries = hurry

    def run(self, application: int) -> None:
        """Work until the application is gone, or has closed the ring, and the ring is empty."""
        pause = _SHORT
        orphan_since: float | None = None
        while True:
            gone = os.getppid() != application or self._ring.closed
            self._ring.beat = time.monotonic_ns()
            self._keep_up()
            moved = self.move()
            copied = self._counts.update()
            self.sync()
            if moved:
                pause = _SHORT
                continue
            if gone:
                orphan_since = orphan_since or time.monotonic()
                if (copied and not self._ring.waiting) or time.monotonic() - orphan_since > _ORPHAN_PATIENCE:
                    break
            time.sleep(pause)
            pause = min(pause * 1.3, _LONG)
        self.sync(now=True)
        self._segments.close()
        self._counts.close()


def _humble() -> None:
    """The application goes first: lower priority, no wake-up bonus."""
    step_back()
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a collector with the command line's arguments."""
    descriptor, folder, application, segment_bytes, cap_bytes = sys.argv[1:] if arguments is None else arguments
    _humble()
    ring = Ring(int(descriptor), populate=True)
    collector = Collector(ring, Path(folder), segment_bytes=int(segment_bytes), cap_bytes=int(cap_bytes))
    ring.beat = time.monotonic_ns()
    collector.run(int(application))
