"""Counters that outlive their process: eligible calls, losses by reason, mirrored calls.

One small memory-mapped file a process. Adding is a write to memory: no system call, nothing to flush, and SIGKILL
loses none of it, since the page belongs to the kernel. The file is a line of JSON with the names, padded to `_HEAD`
bytes, then one unsigned 64-bit little-endian number a name.

There is no lock where the interpreter has one: CPython lets another thread, or a signal handler, run only at calls,
jumps back and the beginnings of functions, and between reading a slot and writing it there is none of them. Without a
global interpreter lock, or on another interpreter, a reentrant lock does it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from shadoweval import native

__all__ = ["LOSSES", "Counters", "read_counters"]

LOSSES: Final = (
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
    "uncopyable",
    "too_large",
    "aborted",
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

_compiled: Final = native.part("ring")
_UNDIVIDED: Final = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
_NAMES: Final = ("eligible", "mirrored", *LOSSES)
_HEAD: Final = 4096
_SLOTS: Final = 128


class Counters:
    """Named counters, in memory or in a file of this process.

    Args:
        path: File to keep them in; None keeps them in memory only. The folder must exist.
        names: Names; at most 128.

    Raises:
        OSError: the file can't be made.
    """

    def __init__(self, path: Path | None = None, *, names: Iterable[str] = _NAMES) -> None:
        self.path = path
        self.names = tuple(names)
        self._index = {name: i for i, name in enumerate(self.names)}
        self._lock = None if _UNDIVIDED else threading.RLock()
        self._memory: mmap.mmap | bytearray
        if path is None:
            self._memory = bytearray(_SLOTS * 8)
        else:
            self._memory = self._mapped(path)
        offset = 0 if path is None else _HEAD
        self._slots = memoryview(self._memory)[offset : offset + _SLOTS * 8].cast("Q")
        self._compiled: Any = None
        if _compiled is not None:
            self._compiled = _compiled.Slots(self._memory, offset, self._index, self._index.get("eligible", 0))
            self.add = self._compiled.add

    def _mapped(self, path: Path) -> mmap.mmap:
        head = json.dumps({"pid": os.getpid(), "began": time.time(), "names": self.names}).encode() + b"\n"
        partial = path.with_suffix(".partial")
        with partial.open("w+b") as file:
            file.write(head.ljust(_HEAD, b" ") + bytes(_SLOTS * 8))
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

    def snapshot(self) -> dict[str, int]:
        """All counters that are not 0."""
        return {name: n for name, n in zip(self.names, self._slots.tolist(), strict=False) if n}

    def close(self) -> None:
        """Let go of the file; it stays for readers."""
        if self._compiled is not None:
            self._compiled.release()
        self._slots.release()
        if isinstance(self._memory, mmap.mmap):
            self._memory.close()


def read_counters(path: Path) -> dict[str, int]:
    """Counters of another process's file, while it counts or after it died.

    Raises:
        OSError, ValueError: no such file, or not a counters file.
    """
    content = path.read_bytes()
    head = json.loads(content[:_HEAD])
    slots = struct.unpack_from(f"<{_SLOTS}Q", content, _HEAD)
    return {name: n for name, n in zip(head["names"], slots, strict=False) if n}
