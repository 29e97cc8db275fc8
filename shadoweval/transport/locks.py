"""Who is alive: a process holds shared locks on its files, and the kernel lets go of them when it dies.

`flock` belongs to the open file, is not shared with other programs' `fcntl` locks, and survives no `exec` because
the descriptor doesn't. Where there is no `flock` (Windows) every file counts as held.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from typing import Final

from shadoweval.errors import SettingsError
from shadoweval.private import open_private

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["Hold", "held", "held_elsewhere", "identity", "lock", "sole"]

_TAKEN: Final = frozenset((errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES))


def lock(descriptor: int) -> None:
    """Hold a shared lock on an open file of this process."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks: it counts as free
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def identity(descriptor: int) -> tuple[int, int] | None:
    """Which file the descriptor is open on; None: it is closed. A daemon may have closed all of its parent's."""
    try:
        state = os.fstat(descriptor)
    except OSError:
        return None
    return state.st_dev, state.st_ino


class Hold:
    """A shared lock on a file of this process.

    Raises:
        OSError: the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._file = identity(self.descriptor)
        lock(self.descriptor)

    @property
    def intact(self) -> bool:
        """Whether the descriptor is the file's still: a daemon may have closed all of them, and opened others."""
        return identity(self.descriptor) == self._file

    def release(self) -> None:
        """Let go of it."""
        if self.intact:
            os.close(self.descriptor)


def held(path: Path) -> bool:
    """Whether a living process holds a lock on the file."""
    if fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return held_elsewhere(descriptor)
    finally:
        os.close(descriptor)


def held_elsewhere(descriptor: int) -> bool:
    """Whether somebody holds a lock on the open file, on which this process has none by this descriptor."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except OSError:
        return True
    return False


def sole(path: Path) -> int | None:
    """Hold the only lock on `path`, made where it is missing; None where another process holds it.

    Raises:
        SettingsError: its file system keeps no locks, so that nobody could know who is alive.
    """
    descriptor = open_private(path, os.O_RDWR)
    if fcntl is None:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _TAKEN:
            return None
        why = f"its file system keeps no locks ({error.strerror}); put the home on a disk of this host"
        raise SettingsError("home", str(path.parent), why=why) from error
    return descriptor
