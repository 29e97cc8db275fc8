"""Locks, leases and owners of descriptors: what a reader of a file can do to whoever writes it.

Sources: flock(2), fcntl(2), and SQLite's os_unix.c for the bytes that it locks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from shadoweval.candidate.guard.policy import inside
from shadoweval.candidate.guard.rules import LOCK_COMMANDS, OWNER_COMMANDS

__all__ = ["lock_refused"]

_LOCK_NB, _LOCK_UN = 4, 8
_FLOCK = struct.Struct("=hhxxxxq")  # struct flock: l_type, l_whence, l_start
_READ_LOCK, _NO_LOCK = 0, 2  # F_RDLCK, F_UNLCK
_SQLITE = range(0x40000000, 0x40000200)  # PENDING_BYTE and what follows


def lock_refused(
    name: str,
    arguments: tuple[int, ...],
    *,
    descriptor: Callable[[int], str],
    read: Callable[[int, int], bytes],
    roots: Iterable[str],
) -> str | None:
    """What is refused of a `flock` or `fcntl`, or None.

    A lock on a file outside would stall whoever writes it. SQLite's read locks alone are let through: without them it
    would read what is half written.

    Args:
        name: the call.
        arguments: its arguments.
        descriptor: the path that a descriptor leads to.
        read: reads the caller's memory.
        roots: where it may write.
    """
    command = arguments[1] & 0xFFFFFFFF
    if name == "fcntl" and command in OWNER_COMMANDS:
        return f"fcntl {command} (who is sent a signal, or has a lease)"
    if name == "fcntl" and command not in LOCK_COMMANDS:
        return None
    path = descriptor(arguments[0] & 0xFFFFFFFF)
    if not path.startswith("/") or path.startswith("/memfd:") or inside(path, roots):
        return None
    if name == "flock":
        return None if command & ~_LOCK_NB == _LOCK_UN else f"flock {path}"
    kind, whence, start = _FLOCK.unpack(read(arguments[2], _FLOCK.size))
    sqlite = kind == _READ_LOCK and not whence and start in _SQLITE and command in LOCK_COMMANDS[:2]
    return None if kind == _NO_LOCK or sqlite else f"fcntl {path}"
