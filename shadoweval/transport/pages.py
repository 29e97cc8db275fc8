"""What a process counts, in shared memory: a page for itself, and one for each of its experiments.

The file in /dev/shm outlives its process: SIGKILL loses no count. The process holds a lock on it (`flock`) while it
lives. First page: a magic word, process id, when the process began, which process ids those are, whether it closed the
file, whether it is a forked child; from byte 1024 on the names of the counts in JSON. A page of an experiment: a word
that its frames are refused now, at byte 64 its name, from byte 1024 on the numbers (`PLACES`).
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import struct
from collections import Counter
from pathlib import Path
from typing import Final

from shadoweval.counters import NAMES
from shadoweval.transport.ledger import KINDS, NUMBERED, PLACES, Kind
from shadoweval.transport.locks import held_elsewhere, identity, lock
from shadoweval.transport.memory import allocated, start_of, this_space

__all__ = ["PageReader", "Pages"]

_PAGE: Final = 4096
_FIRST: Final = 3
_NAME: Final = slice(64, 64 + 512)
_MOST: Final = 64 * 1024 * 1024
_HEAD: Final = struct.Struct("<6Q")
_CLOSED: Final = 32
_SOUND: Final = int.from_bytes(b"SEcount1", "little")
_NAMES: Final = json.dumps(NAMES).encode()
Counts = dict[Kind, Counter[str]]


class Pages:
    """This process's counts.

    Raises:
        OSError: there is no room for them.
    """

    def __init__(self, path: str, *, forked: bool) -> None:
        partial = f"{path}.making"
        self.descriptor = allocated(partial, _PAGE * (1 + _FIRST))
        self.file = identity(self.descriptor)
        lock(self.descriptor)
        self._maps = [mmap.mmap(self.descriptor, _PAGE * (1 + _FIRST))]
        memory = self._maps[0]
        head = _HEAD.pack(_SOUND, os.getpid(), start_of("self")[0], this_space(), 0, forked)
        memory[: len(head)] = head
        memory[1024 : 1024 + len(_NAMES)] = _NAMES
        self._free = [(memory, _PAGE * n) for n in range(1, 1 + _FIRST)]
        self._count = _FIRST
        self._pages: dict[str, tuple[int, mmap.mmap, int]] = {}
        os.rename(partial, path)  # noqa: PTH104 - as `os.unlink` there; it is held before anybody can see it

    def page(self, name: str) -> tuple[int, mmap.mmap, int]:
        """An experiment's: its number, the memory, and where its page begins there.

        Raises:
            OSError: there is no room for another one.
        """
        page = self._pages.get(name)
        if page is None:
            if not self._free:
                self._grow()
            memory, at = self._free.pop(0)
            page = self._pages[name] = self._count - len(self._free) - 1, memory, at
            called = name.encode()[: _NAME.stop - _NAME.start]
            memory[at + _NAME.start : at + _NAME.start + len(called)] = called
        return page

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each experiment."""
        return {name: number for name, (number, _, _) in self._pages.items()}

    def _grow(self) -> None:
        begin, more = _PAGE * (1 + self._count), self._count
        os.posix_fallocate(self.descriptor, begin, _PAGE * more)
        memory = mmap.mmap(self.descriptor, _PAGE * more, offset=begin)
        self._maps.append(memory)
        self._free = [(memory, _PAGE * n) for n in range(more)]
        self._count += more

    @property
    def intact(self) -> bool:
        """Whether others find the file: it has its name, and a daemon has not closed its descriptor."""
        try:
            state = os.fstat(self.descriptor)
        except OSError:
            return False
        return (state.st_dev, state.st_ino) == self.file and state.st_nlink > 0

    def finish(self) -> None:
        """Nothing more will be counted here."""
        self._maps[0][_CLOSED] = 1

    def release(self) -> None:
        """Let go of the file; the memory goes with the last who uses it."""
        if identity(self.descriptor) == self.file:
            os.close(self.descriptor)
        self._pages.clear()
        self._free.clear()
        for memory in self._maps:
            with contextlib.suppress(BufferError):  # a call that is under way counts there
                memory.close()


class PageReader:
    """Another process's counts; read, not mapped, so that no damage can hurt whoever reads them.

    Raises:
        OSError: it can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        self._content = b""
        self.sound, self.forked, self.closed = False, False, False
        self.names: list[str] = []
        self.counts: dict[str, Counts] = {}
        self.refused: set[str] = set()
        """Experiments whose frames it does not take now, as somebody told it."""
        self.changed: set[str] = set()
        """Experiments whose counts changed since somebody emptied it."""
        self._pid = self._began = self._space = 0

    def refresh(self) -> None:
        """Read them."""
        size = min(os.fstat(self.descriptor).st_size, _MOST)
        content = os.pread(self.descriptor, size, 0)
        if content == self._content:
            return
        before, self._content = self._content, content
        self.sound = False
        try:
            magic, self._pid, self._began, self._space, closed, forked = _HEAD.unpack_from(content)
            words = tuple(map(str, json.loads(content[1024:_PAGE].rstrip(b"\0"))))
        except (struct.error, ValueError, TypeError):
            return
        self.sound, self.closed, self.forked = magic == _SOUND, bool(closed), bool(forked)
        if not self.sound:
            return
        self.names, self.refused = [], set()
        for at in range(_PAGE, len(content) - _PAGE + 1, _PAGE):
            page = content[at : at + _PAGE]
            name = page[_NAME].rstrip(b"\0").decode("utf-8", "replace")
            name = name if Path(name).name == name != ".." else ""
            self.names.append(name)
            if page[0]:
                self.refused.add(name)
            if name and before[at : at + _PAGE] != page:
                self.counts[name] = _numbers(page, words)
                self.changed.add(name)

    def refuse(self, name: str, refused: bool) -> None:
        """Tell the process whether the experiment's frames are taken now."""
        at = _PAGE * (1 + self.names.index(name))
        if bool(self._content[at]) != refused:
            with contextlib.suppress(OSError):
                os.pwrite(self.descriptor, bytes([refused]), at)

    @property
    def ended(self) -> bool:
        """Whether its process counts no more there: it closed the file, or is gone.

        Its number may be another process's by now; and somebody else may have its lock, or nobody.
        """
        if self.sound and self.closed:
            return True
        locked = held_elsewhere(self.descriptor)
        if not self.sound or self._space != this_space():
            return not locked
        began, state = start_of(self._pid)
        if began != self._began:
            return True
        return state in {"Z", "X"} and not locked

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def _numbers(page: bytes, words: tuple[str, ...]) -> Counts:
    counts: Counts = {}
    for kind in KINDS:
        at, most = PLACES[kind]
        names = words if kind == "main" else NUMBERED
        numbers = struct.unpack_from(f"<{most}Q", page, at)
        counts[kind] = Counter({name: n for name, n in zip(names, numbers, strict=False) if n})
    return counts
