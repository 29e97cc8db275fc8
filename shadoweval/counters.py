"""Counters that outlive their process: eligible calls, losses by reason, mirrored calls.

One small memory-mapped file a process. Adding is a write to memory: no system call, nothing to flush, and SIGKILL
loses none of it, since the page belongs to the kernel. The file is a line of JSON with the names, padded to `_HEAD`
bytes, then one unsigned 64-bit little-endian number a name. Files of earlier versions have as many numbers again, which
are added.

There is no lock where the interpreter has one: CPython lets another thread, or a signal handler, run only at calls,
jumps back and the beginnings of functions, and between reading a slot and writing it there is none of them. Without a
global interpreter lock, or on another interpreter, a reentrant lock does it.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import struct
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from shadoweval.private import open_private

__all__ = ["ALIKE", "LOSSES", "NAMES", "Counters", "counters_file", "read_counters", "write_numbers"]

ALIKE: Final = (
    "off",
    "killed",
    "flag_off",
    "flag_error",
    "not_targeted",
    "not_sampled",
    "control",
    "breaker_open",
    "budget_spent",
    "nested",
    "aborted",
)
"""Reasons that leave queries out whatever they are like: all of them for a while, or by chance, or because the caller
went away. For every other reason, those of later versions too, a sampled query was lost for what it was."""

LOSSES: Final = (
    *ALIKE,
    "uncopyable",
    "too_large",
    "fault_decide",
    "fault_snapshot",
    "fault_outcome",
    "fault_redact",
    "fault_encode",
    "fault_offer",
    "full",
    "transport_error",
)
"""Every reason for which an eligible call is not mirrored."""

_UNDIVIDED: Final = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
NAMES: Final = ("eligible", "mirrored", *LOSSES)
"""What becomes of calls."""
_HEAD: Final = 4096
_SLOTS: Final = 128
_SECOND: Final = _HEAD + _SLOTS * 8
_locked: Final[weakref.WeakSet[Counters]] = weakref.WeakSet()


@lru_cache(maxsize=8)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    """The slot of each name; made once, since a forked child has its own counters and pays for all it makes."""
    return {name: i for i, name in enumerate(names)}


class Counters:
    """Named counters, in memory or in a file of this process.

    Args:
        path: File to keep them in; None keeps them in memory only. The folder must exist.
        names: Names; at most 128.
        place: Memory that others read meanwhile, and the byte at which the numbers begin there; instead of a file.

    Raises:
        OSError: the file can't be made.
    """

    def __init__(
        self, path: Path | None = None, *, names: Iterable[str] = NAMES, place: tuple[mmap.mmap, int] | None = None
    ) -> None:
        self.path = path
        self.names = tuple(names)
        self.beside: tuple[Counters, ...] = ()
        """Others that count the same elsewhere: `snapshot` gives the sum."""
        self._index = _places(self.names)
        self.renew_lock()
        if not _UNDIVIDED:
            _locked.add(self)
        offset, length = 0, _SLOTS * 8
        self._memory: mmap.mmap | bytearray
        if place is not None:
            (self._memory, offset), length = place, len(self.names) * 8
        elif path is None:
            self._memory = bytearray(length)
        else:
            self._memory, offset = self._mapped(path), _HEAD
        self._slots = memoryview(self._memory)[offset : offset + length].cast("Q")

    def renew_lock(self) -> None:
        """In a child process: another thread may have held the parent's lock when it was forked."""
        self._lock = None if _UNDIVIDED else threading.RLock()

    def _mapped(self, path: Path) -> mmap.mmap:
        partial = path.with_suffix(".partial")
        with os.fdopen(open_private(partial, os.O_RDWR | os.O_TRUNC), "w+b") as file:
            file.write(counters_file(self.names))
            file.flush()
            memory = mmap.mmap(file.fileno(), _HEAD + _SLOTS * 8)
        partial.replace(path)
        return memory

    def add(self, name: str, count: int = 1) -> None:
        """Add to a counter. Unknown names raise KeyError: a loss without a reason would not be counted."""
        slots, index = self._slots, self._index[name]
        if self._lock is None:
            slots[index] += count
            return
        with self._lock:
            slots[index] += count

    def own(self) -> dict[str, int]:
        """Those counted here that are not 0."""
        return {name: n for name, n in zip(self.names, self._slots.tolist(), strict=False) if n}

    def snapshot(self) -> dict[str, int]:
        """All that are not 0, with those counted `beside`."""
        counts = self.own()
        for other in self.beside:
            for name, count in other.own().items():
                counts[name] = counts.get(name, 0) + count
        return counts

    def close(self) -> None:
        """Let go of the file; it stays for readers."""
        self._slots.release()
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()


def read_counters(path: Path) -> dict[str, int]:
    """Counters of another process's file, while it counts or after it died.

    Raises:
        OSError, ValueError: no such file, or not a counters file.
    """
    content = path.read_bytes()
    names = json.loads(content[:_HEAD])["names"]
    slots = struct.unpack_from(f"<{_SLOTS}Q", content, _HEAD)
    copied = struct.unpack_from(f"<{_SLOTS}Q", content.ljust(_SECOND + _SLOTS * 8, b"\0"), _SECOND)
    return {name: n + m for name, n, m in zip(names, slots, copied, strict=False) if n + m}


def counters_file(names: Iterable[str]) -> bytes:
    """The content of a file in which `write_numbers` keeps what others count; nothing is counted so far."""
    return _head(names) + bytes(_SLOTS * 8)


def write_numbers(path: Path, numbers: Sequence[int]) -> None:
    """Replace all numbers of such a file, in the order of its names.

    Raises:
        OSError: not written, or not all of it.
    """
    content = struct.pack(f"<{len(numbers)}Q", *numbers)
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        if os.pwrite(descriptor, content, _HEAD) != len(content):
            raise OSError(errno.ENOSPC, "only a part could be written")
    finally:
        os.close(descriptor)


def _head(names: Iterable[str]) -> bytes:
    head = {"pid": os.getpid(), "began": time.time(), "names": tuple(names)}
    return (json.dumps(head).encode() + b"\n").ljust(_HEAD, b" ")


def _after_fork() -> None:
    for counters in list(_locked):
        counters.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
