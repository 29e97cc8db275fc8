"""Who is alive: a process holds shared locks on its files, and the kernel lets go of them when it dies.

`flock` belongs to the open file, is not shared with other programs' `fcntl` locks, and survives no `exec` because
the descriptor doesn't. Where there is no `flock` (Windows) every file counts as held.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

__all__ = ["held", "hold", "lock", "sole"]


def lock(descriptor: int) -> None:
    """Hold a shared lock on an open file of this process."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks: it counts as free
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def hold(path: Path) -> int:
    """Hold a shared lock on a file of this process; the descriptor keeps it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    lock(descriptor)
    return descriptor


def held(path: Path) -> bool:
    """Whether a living process holds a lock on the file."""
    if fcntl is None:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def sole(path: Path) -> int | None:
    """Hold the only lock on `path`, made where it is missing; None where another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if fcntl is None:
        return descriptor
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
