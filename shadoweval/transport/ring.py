"""A ring of frames in shared memory: one writing process, one reading process, no system call between them.

It is a file in /dev/shm (`transport.memory`), so it outlives both: whoever reads next goes on where it says. Its memory
is allocated when it is made, so that no store into it can fail for want of a page.

Layout: one page, then the frames. In the page a magic word and five 64-bit numbers. Each frame: a 64-bit word with
its length below and whose it is above (the number of its experiment in `transport.pages`), its bytes, padding to 8.
Positions only grow; the place is the position modulo the size. A word of 2**64-1 says: go on at the beginning. The
writer publishes a frame by storing the write position last, so a frame is there as a whole or not at all.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shadoweval.transport.memory import allocated

__all__ = ["RING_BYTES", "Ring"]

RING_BYTES: Final = 8 * 1024 * 1024
_HEAD: Final = 4096
_MAGIC, _WRITE, _READ, _BEAT, _CLOSED, _READER = range(6)
_SOUND: Final = int.from_bytes(b"SEring01", "little")
_SKIP: Final = 0xFFFF_FFFF_FFFF_FFFF
_LENGTH: Final = 0xFFFF_FFFF
_SLACK: Final = 64
# x86 keeps the order of stores; elsewhere two passes through a lock (release, then acquire) keep it.
_ORDERED: Final = platform.machine().lower() in {"x86_64", "amd64", "i686"}


class Ring:
    """Either end of a ring; the caller sees to it that each end has one user at a time.

    Raises:
        OSError: it can't be opened.
        ValueError: the file is no ring.
    """

    def __init__(self, path: Path, descriptor: int | None = None) -> None:
        self.path = path
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW) if descriptor is None else descriptor
        try:
            whole = os.fstat(descriptor).st_size
            if whole < _HEAD + _SLACK or whole % 8:
                raise ValueError("its size is not a ring's")
            self._memory = mmap.mmap(descriptor, whole)
        finally:
            os.close(descriptor)
        view = memoryview(self._memory)
        self._head = view[:_HEAD].cast("Q")
        self._bytes = view[_HEAD:]
        self._words = view[_HEAD:].cast("Q")
        self.size = whole - _HEAD
        self._written = self._head[_WRITE]
        self._read = self._head[_READ]
        self._at, self._room = self._written % self.size, 0
        self._fence = threading.Lock()

    @classmethod
    def create(cls, path: Path, size: int = RING_BYTES) -> Ring:
        """A new ring.

        Raises:
            OSError: there is no room for it.
        """
        partial = f"{path}.making"
        ring = cls(path, allocated(partial, _HEAD + (size + 7) // 8 * 8))
        ring._head[_MAGIC] = _SOUND
        os.rename(partial, path)  # noqa: PTH104 - see `transport.memory.allocated`
        return ring

    @property
    def sound(self) -> bool:
        """Whether it says that it is a ring."""
        return self._head[_MAGIC] == _SOUND

    @staticmethod
    def beat_of(path: Path) -> int:
        """The `beat` of the ring in a file, which is not opened for that; 0 where there is none."""
        with contextlib.suppress(OSError), path.open("rb") as file:
            return int.from_bytes(file.read(8 * (_BEAT + 1))[8 * _BEAT :], sys.byteorder)
        return 0

    def put(self, frame: bytes, whose: int = 0) -> bool:
        """Copy a frame in and publish it; `whose` in the upper half of a word. False: there is no room for it now."""
        length = len(frame)
        need = (length + 15) & ~7
        at = self._at
        if need > self._room or at + need + 8 > self.size:
            at = self._place(need)
            if at < 0:
                return False
        self._bytes[at + 8 : at + 8 + length] = frame
        self._words[at >> 3] = length | whose
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

    def take(self, most: int) -> Iterator[tuple[int, memoryview]]:
        """Whose, and the frame, where it lies: those that are published and not yet `taken`, up to about `most` bytes.

        Raises:
            ValueError: what lies there is no frame.
        """
        end = self._head[_WRITE]
        first = self._read
        if not 0 <= end - first <= self.size:
            raise ValueError("its positions are not a ring's")
        while self._read < end and self._read - first < most:
            at = self._read % self.size
            word = self._words[at >> 3]
            if word == _SKIP:
                self._read += self.size - at
                continue
            need = ((word & _LENGTH) + 15) & ~7
            if at % 8 or at + need > self.size or self._read + need > end:
                raise ValueError("no frame begins where one should")
            self._read += need
            yield word >> 32, self._bytes[at + 8 : at + 8 + (word & _LENGTH)]

    def taken(self) -> None:
        """What `take` gave is safe elsewhere: the writer may use its room."""
        self._head[_READ] = self._read

    def again(self) -> None:
        """What `take` gave since the last `taken` is to come again."""
        self._read = self._head[_READ]

    def skip(self, most: int) -> bytes:
        """Pass over all that is published: it is damaged. Returns at most the first `most` bytes of it."""
        at = self._head[_READ] % self.size
        self._read = self._head[_WRITE]
        self.taken()
        return bytes(self._bytes[at : at + most])

    @property
    def waiting(self) -> int:
        """Bytes that are published and not yet taken."""
        return self._head[_WRITE] - self._head[_READ]

    @property
    def beat(self) -> int:
        """Last sign of life of the reader, monotonic nanoseconds; 0: none yet."""
        return self._head[_BEAT]

    @property
    def reader(self) -> int:
        """Process id of the collector that reads it; 0: none yet."""
        return self._head[_READER]

    def sign(self, reader: int, beat: int) -> None:
        """Who reads it, and that it lives."""
        self._head[_READER] = reader
        self._head[_BEAT] = beat

    @property
    def closed(self) -> bool:
        """The writer writes no more."""
        return bool(self._head[_CLOSED])

    def finish(self) -> None:
        """Tell the reader that nothing more will come."""
        self._head[_CLOSED] = 1

    def close(self) -> None:
        """Let go of the memory; the file stays."""
        for view in (self._head, self._words, self._bytes):
            view.release()
        with contextlib.suppress(BufferError):  # somebody still has a frame of it: it goes with that
            self._memory.close()
