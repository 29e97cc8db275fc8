"""A ring of frames in shared memory: one writing process, one reading process, no system call between them.

The memory is a sealed memfd: nobody can shrink it, so touching it can't kill the application (a file in /dev/shm that
is truncated, or has no page left, would: SIGBUS). It outlives the writer for as long as the reader maps it.

Layout: one page, then the frames. In the page: four 64-bit numbers, at byte 64 the name of the application's counters
files, from byte 1024 on what it counts (`transport.ledger.PLACES`). Each frame: a 64-bit length, its bytes, padding to
8. Positions only grow; the place is the position modulo the size. A length of 2**64-1 says: go on at the beginning. The
writer publishes a frame by storing the write position last, so a frame is there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import platform
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from shadoweval.counters import copy_counts
from shadoweval.transport.ledger import KINDS, PLACES, Kind
from shadoweval.transport.locks import identity, lock

__all__ = ["RING_BYTES", "CountCopies", "Ring"]

RING_BYTES: Final = 8 * 1024 * 1024
_HEAD: Final = 4096
_WRITE, _READ, _BEAT, _CLOSED = 0, 1, 2, 3
_SKIP: Final = 0xFFFF_FFFF_FFFF_FFFF
_SLACK: Final = 64
# x86 keeps the order of stores; elsewhere two passes through a lock (release, then acquire) keep it.
_ORDERED: Final = platform.machine().lower() in {"x86_64", "amd64", "i686"}
_STEM: Final = slice(64, 192)


class Ring:
    """Either end of a ring; the caller sees to it that each end has one user at a time.

    The descriptor, a memfd, is closed by `close`. With `populate` the system provides every page now (milliseconds):
    the reader does, before it shows that it lives, so that the writer finds them there.
    """

    def __init__(self, descriptor: int, *, populate: bool = False) -> None:
        self.descriptor = descriptor
        state = os.fstat(descriptor)
        self._file, whole = (state.st_dev, state.st_ino), state.st_size
        self._memory = mmap.mmap(descriptor, whole, mmap.MAP_SHARED | (mmap.MAP_POPULATE if populate else 0))
        view = memoryview(self._memory)
        self._head = view[:_HEAD].cast("Q")
        self._page = view[:_HEAD]
        self._bytes = view[_HEAD:]
        self._words = view[_HEAD:].cast("Q")
        self.size = whole - _HEAD
        self._written = self._head[_WRITE]
        self._read = self._head[_READ]
        self._at, self._room = self._written % self.size, 0
        self._fence = threading.Lock()

    @classmethod
    def create(cls, size: int = RING_BYTES) -> Ring:
        """A new ring.

        Raises:
            OSError, AttributeError: not on this system.
        """
        descriptor = os.memfd_create("shadoweval", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(descriptor, _HEAD + (size + 7) // 8 * 8)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
            return cls(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def put(self, frame: bytes) -> bool:
        """Copy a frame in and publish it. False: there is no room for it now."""
        length = len(frame)
        need = (length + 15) & ~7
        at = self._at
        if need > self._room or at + need + 8 > self.size:
            at = self._place(need)
            if at < 0:
                return False
        self._bytes[at + 8 : at + 8 + length] = frame
        self._words[at >> 3] = length
        if not _ORDERED:
            for _ in range(2):
                with self._fence:
                    pass
        self._at = at + need
        self._room -= need
        self._written = self._head[_WRITE] = self._written + need
        return True

    def _place(self, need: int) -> int:
        """Where a frame has its place when it does not simply follow the last one; -1: there is no room now."""
        at = self._written % self.size
        skipped = 0 if at + need + 8 <= self.size else self.size - at
        free = self.size - _SLACK - (self._written - self._head[_READ])
        if skipped + need > free:
            return -1
        if skipped:
            self._words[at >> 3] = _SKIP
            self._written += skipped
            at = 0
        self._room = free - skipped
        return at

    def take(self, most: int) -> Iterator[memoryview]:
        """Frames that were published and not yet `taken`, up to about `most` bytes; where they lie, not copied."""
        end = self._head[_WRITE]
        first = self._read
        while self._read < end and self._read - first < most:
            at = self._read % self.size
            length = self._words[at >> 3]
            if length == _SKIP:
                self._read += self.size - at
                continue
            self._read += (length + 15) & ~7
            yield self._bytes[at + 8 : at + 8 + length]

    def taken(self) -> None:
        """What `take` gave is safe elsewhere: the writer may use its room."""
        self._head[_READ] = self._read

    def again(self) -> None:
        """What `take` gave since the last `taken` is to come again."""
        self._read = self._head[_READ]

    @property
    def waiting(self) -> int:
        """Bytes that are published and not yet taken."""
        return self._head[_WRITE] - self._head[_READ]

    @property
    def beat(self) -> int:
        """Last sign of life of the reader, monotonic nanoseconds; 0: none yet."""
        return self._head[_BEAT]

    @beat.setter
    def beat(self, value: int) -> None:
        self._head[_BEAT] = value

    @property
    def stem(self) -> str:
        """What the names of the application's counters files begin with; empty where it has none."""
        return bytes(self._page[_STEM]).rstrip(b"\0").decode("ascii", "replace")

    @stem.setter
    def stem(self, value: str) -> None:
        self._page[_STEM] = value.encode("ascii").ljust(_STEM.stop - _STEM.start, b"\0")

    @property
    def counts(self) -> Mapping[Kind, bytes]:
        """What the application has counted here."""
        page = bytes(self._page)
        return {kind: page[at : at + 8 * size] for kind, (at, size) in PLACES.items()}

    def page(self) -> mmap.mmap:
        """The first page once more, for counters that a thread may still hold when the ring is closed."""
        return mmap.mmap(self.descriptor, _HEAD)

    @property
    def closed(self) -> bool:
        """The writer writes no more."""
        return bool(self._head[_CLOSED])

    @property
    def intact(self) -> bool:
        """Whether the descriptor is the ring's still: a daemon may have closed all of them, and opened others."""
        return identity(self.descriptor) == self._file

    def finish(self) -> None:
        """Tell the reader that nothing more will come."""
        self._head[_CLOSED] = 1

    def close(self) -> None:
        """Let go of the memory; the other end keeps it."""
        for view in (self._head, self._page, self._words, self._bytes):
            view.release()
        self._memory.close()
        if self.intact:
            os.close(self.descriptor)


class CountCopies:
    """Copies of an application's counts in its files, which they hold as the living do."""

    def __init__(self, ring: Ring, folder: Path) -> None:
        self._ring, self._folder = ring, folder
        self._stem = ""
        self._descriptors: list[int] = []
        self._copied: Final[list[bytes]] = [b""] * len(KINDS)

    def update(self) -> bool:
        """Copy what has changed. False: it can't be written now."""
        stem, counts = self._ring.stem, self._ring.counts
        try:
            if stem != self._stem:
                self._open(stem)
            for n, descriptor in enumerate(self._descriptors):
                numbers = counts[KINDS[n]]
                if numbers != self._copied[n]:
                    copy_counts(descriptor, numbers)
                    self._copied[n] = numbers
        except OSError:
            return False
        return True

    def _open(self, stem: str) -> None:
        """Other files: the application's first ones, or those that it made because the folder had been removed."""
        self.close()
        for kind in KINDS if stem else ():
            path = self._folder / f"{stem}.{kind}.counters"
            self._descriptors.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            lock(self._descriptors[-1])
        self._stem = stem

    def close(self) -> None:
        """Let go of the files: a reader may add them to its total."""
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()
        self._copied[:] = [b""] * len(KINDS)
        self._stem = ""
