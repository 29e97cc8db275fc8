"""Append-only segment files of one writing process.

Each file belongs to one process, which holds a lock on it while it writes there. Names are never used twice, sort in
the order of writing, and tell the writer: `WRITER-SEQUENCE.seg`.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from shadoweval.private import open_private, private_folder
from shadoweval.seldom import Seldom
from shadoweval.transport.locks import lock
from shadoweval.transport.memory import spared

__all__ = ["SEGMENT_BYTES", "SegmentWriter", "new_writer", "trouble", "unwritable"]

_log: Final = logging.getLogger("shadoweval.transport")
_reported = Seldom()
SEGMENT_BYTES: Final = 16 * 1024 * 1024
"""Size at which a segment is full."""


def new_writer() -> str:
    """A name for this process that no other ever had; names sort by when they were given."""
    return f"{time.time_ns():016x}-{os.getpid()}-{os.urandom(3).hex()}"


def _write(descriptor: int, parts: Sequence[bytes | memoryview]) -> int:
    if hasattr(os, "writev"):
        return os.writev(descriptor, parts)
    return os.write(descriptor, b"".join(parts))


class SegmentWriter:
    """Appends blocks of frames to the newest segment; not for several threads at once.

    `writer` is this process's name (`new_writer`); by default it gets one when it first writes. A block that would make
    a segment larger than `segment_bytes` goes into a new one.
    """

    def __init__(self, folder: Path, writer: str = "", *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder, self.writer, self.segment_bytes = folder, writer, segment_bytes
        self._descriptor = -1
        self._file = (0, 0)
        self.sequence = 0

    def append(self, parts: Sequence[bytes | memoryview]) -> None:
        """Write frames whole, all of them, or leave no trace of any.

        At most 1,024 parts (IOV_MAX, writev(2)).

        Raises:
            OSError: it is not written: disk full or read-only. A removed folder is made again.
        """
        size = sum(map(len, parts))
        state = self._intact()
        if state is None or (state.st_size and state.st_size + size > self.segment_bytes):
            self._rotate()
            state = os.fstat(self._descriptor)
        written = 0
        try:
            written = _write(self._descriptor, parts)
        finally:
            if written != size:
                self._undo(state.st_size)
        if written != size:
            raise OSError(errno.ENOSPC, "only a part could be written", str(self.folder))

    def sync(self) -> None:
        """Make what was appended survive a power loss."""
        if self._descriptor >= 0:
            os.fdatasync(self._descriptor) if hasattr(os, "fdatasync") else os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the segment; readers may finish and remove it."""
        if self._descriptor >= 0:
            if self._ours():
                os.close(self._descriptor)
            self._descriptor = -1

    def _ours(self) -> os.stat_result | None:
        """The file's state; None where someone closed every descriptor, and this number may be another's by now."""
        try:
            state = os.fstat(self._descriptor)
        except OSError:
            return None
        return state if (state.st_dev, state.st_ino) == self._file else None

    def _intact(self) -> os.stat_result | None:
        """The segment's state; None where what is written now would not be found: it is closed, or has no name."""
        state = self._ours() if self._descriptor >= 0 else None
        return state if state is not None and state.st_nlink > 0 else None

    def _undo(self, size: int) -> None:
        """Cut a part of a block off again; where even that fails, readers skip it as torn."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, size)
        self.close()

    def _rotate(self) -> None:
        self.close()
        private_folder(self.folder)
        self.writer = self.writer or new_writer()
        self.sequence += 1
        name = f"{self.writer}-{self.sequence:08d}"
        making = self.folder / f"{name}.making"
        try:
            self._descriptor = spared(open_private(making, os.O_WRONLY | os.O_EXCL | os.O_APPEND))
            state = os.fstat(self._descriptor)
            self._file = (state.st_dev, state.st_ino)
            lock(self._descriptor)
            making.replace(self.folder / f"{name}.seg")  # held before any reader can see it
        except OSError:
            self.close()
            making.unlink(missing_ok=True)
            raise


def trouble(folder: Path) -> str | None:
    """Why this user can't write a spool in the folder, which need not exist yet; None where nothing speaks against it.

    It looks and makes nothing. It can't see a disk that is full.
    """
    nearest = Path(folder).absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        return f"{str(nearest)!r} is no folder"
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"{str(nearest)!r} may not be written by this user"
    return None


def unwritable(folder: Path, error: OSError) -> None:
    """Tell it in the log, at most once a minute for each folder."""
    if not _reported.due(folder):
        return
    why = trouble(folder) or error.strerror or type(error).__name__
    with contextlib.suppress(Exception):  # a log handler that raises: nobody is left to be told
        _log.warning(
            "The spool %s can't be written (%s): calls are served, but lost for the evaluation. Let this process's "
            "user write there, and see that the disk has room, or set another folder",
            folder,
            why,
            extra={"folder": str(folder), "error_type": type(error).__name__, "errno": error.errno},
        )
