r"""Sums over processes without waiting: a file with a row for each process, that only its owner writes.

A row is `budget1\n` and three unsigned 64-bit little-endian numbers. Appending makes a row, atomically. On Linux its
owner holds a lock on the row's bytes for as long as it lives (an open file description lock, fcntl(2)), so that a
process that comes later goes on with the row of one that died, and the file stays as short as there are processes.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import weakref
from functools import reduce
from pathlib import Path
from typing import Final, TypeAlias

from shadoweval.private import open_private, private_folder

if sys.platform == "linux":
    import fcntl

__all__ = ["SharedSums", "Sums", "plus"]

_ROW: Final = struct.Struct("<8sQQQ")
_MAGIC: Final = b"budget1\n"
_MOST: Final = 1 << 20
_LARGEST: Final = (1 << 64) - 1
Sums: TypeAlias = tuple[int, int, int]


def plus(left: Sums, right: Sums) -> Sums:
    """The sums of both, as far as a row holds them."""
    return min(left[0] + right[0], _LARGEST), min(left[1] + right[1], _LARGEST), min(left[2] + right[2], _LARGEST)


class SharedSums:
    """One file of rows: what its processes added, and this process's part of it.

    Everything raises OSError where the file can't be used or was replaced, and ValueError where it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.fspath(path)
        private_folder(path.parent)
        self._file = open_private(self._path, os.O_RDWR)
        weakref.finalize(self, os.close, self._file)  # not before the last thread is out of `sums`
        self._inode = os.fstat(self._file).st_ino
        self._at = -1
        self._mine: Sums = (0, 0, 0)
        self._lock = threading.Lock()

    def check(self) -> None:
        """Whether the file is still the one that other processes would open."""
        if os.stat(self._path).st_ino != self._inode:  # noqa: PTH116 - on the request path
            raise OSError(f"{self._path!r} was replaced while it was in use; restart the process to use the new one")

    def sums(self) -> Sums:
        """Sum of all rows."""
        mine, at = self._mine, self._at
        rows = self._rows()
        if at >= 0 and (at // _ROW.size >= len(rows) or rows[at // _ROW.size][0] < mine[0]):
            raise ValueError(f"{self._path!r} is damaged: what this process wrote is gone")
        return reduce(plus, rows, (0, 0, 0))

    def add(self, numbers: Sums) -> None:
        """Add to this process's row."""
        with self._lock:
            if self._at < 0:
                self._at, self._mine = self._claimed()
            mine = plus(self._mine, numbers)
            os.pwrite(self._file, _ROW.pack(_MAGIC, *mine), self._at)
            self._mine = mine

    def _rows(self) -> list[Sums]:
        content = os.pread(self._file, _MOST, 0)
        if len(content) % _ROW.size or len(content) == _MOST:
            raise ValueError(f"{self._path!r} is damaged: {len(content)} bytes are no whole rows")
        rows: list[Sums] = []
        for magic, a, b, c in _ROW.iter_unpack(content):
            if magic != _MAGIC:
                raise ValueError(f"{self._path!r} is damaged: a row that is none of ours")
            rows.append((a, b, c))
        return rows

    def _claimed(self) -> tuple[int, Sums]:
        """A row of a dead process, or a new one: where it begins, and what is in it."""
        while True:
            for number, _ in enumerate(self._rows()):
                if self._locked(number * _ROW.size):
                    return number * _ROW.size, self._rows()[number]  # read again: its owner may have died just now
            at = self._appended()
            if sys.platform != "linux" or self._locked(at):  # else another newcomer took it for a dead one's
                return at, (0, 0, 0)

    def _locked(self, at: int) -> bool:
        if sys.platform != "linux":
            return False
        wanted = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, at, _ROW.size, 0)  # struct flock, 64 bit
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, wanted)
        except OSError:
            return False
        return True

    def _appended(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            if os.fstat(descriptor).st_ino != self._inode:
                raise OSError(f"{self._path!r} was replaced while it was in use")
            os.write(descriptor, _ROW.pack(_MAGIC, 0, 0, 0))
            return os.lseek(descriptor, 0, os.SEEK_CUR) - _ROW.size
        finally:
            os.close(descriptor)
