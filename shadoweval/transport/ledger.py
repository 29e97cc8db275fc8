"""Counters of one writing process: in files beside its frames, or wherever a subclass keeps them.

A process holds a shared lock on its files while it lives; files whose lock is free belong to the dead
(`transport.totals`).

A store into a file's page may wait for the file's disk. So where there is shared memory calls are counted there
(`transport.pages`).
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

from shadoweval.counters import NAMES, Counters
from shadoweval.private import private_folder
from shadoweval.transport.locks import Hold
from shadoweval.transport.memory import spare
from shadoweval.transport.segments import new_writer, unwritable

__all__ = ["KINDS", "NUMBERED", "PLACES", "Book", "Kind", "Ledger", "made"]

Kind = Literal["main", "mirrored", "control"]
KINDS: Final[tuple[Kind, ...]] = ("main", "mirrored", "control")
NUMBERED: Final = tuple(str(i) for i in range(128))
"""Names of the slots of `mirrored` and `control`: the bins of a histogram of durations."""
PLACES: Final[Mapping[Kind, tuple[int, int]]] = {"main": (1024, 64), "mirrored": (1536, 128), "control": (2560, 128)}
"""Where the numbers of a kind begin in a page of shared memory, and how many there are."""


_RETRY: Final = 0.25
_ELIGIBLE: Final = NAMES.index("eligible")


class CallCounters(Counters):
    """Counters of calls."""

    def add_call(self, reason: str) -> None:
        """One eligible call, and what became of it, at once. Unknown reasons raise KeyError, and nothing is counted."""
        slots, index = self._slots, self._index[reason]
        if self._lock is None:
            slots[index] += 1
            slots[_ELIGIBLE] += 1
            return
        with self._lock:
            slots[index] += 1
            slots[_ELIGIBLE] += 1


class _Unopened:
    """Stands for counters that are opened when something is counted: most children of a fork count nothing."""

    def __init__(self, ledger: Book, kind: Kind) -> None:
        self._ledger = ledger
        self._kind: Kind = kind

    def add(self, name: str, count: int = 1) -> None:
        self._ledger.open()
        self._ledger.now(self._kind).add(name, count)

    def add_call(self, reason: str) -> None:
        self._ledger.open()
        self._ledger.counted(reason)

    def snapshot(self) -> dict[str, int]:
        return self._ledger.now(self._kind).snapshot()


def made(kind: Kind, path: Path | None = None, *, page: tuple[mmap.mmap, int] | None = None) -> Counters:
    """Counters of a kind: in memory, in a file, or in a page that others read."""
    place = None if page is None else (page[0], page[1] + PLACES[kind][0])
    names = NAMES if kind == "main" else NUMBERED
    return (CallCounters if kind == "main" else Counters)(path, names=names, place=place)


class Book:
    """Counters of this process: `main` for what became of calls, `mirrored` and `control` for their durations.

    They are opened when something is counted, and are kept in memory while they can't be opened. The three are replaced
    when they move or the process forks: keep the ledger, not them.
    """

    main: CallCounters
    mirrored: Counters
    control: Counters

    def __init__(self) -> None:
        self._retry_at = 0.0
        self._unopened = [_Unopened(self, kind) for kind in KINDS]
        self.forked()

    def _new_lock(self) -> Any:
        return threading.RLock()

    def _unopen(self) -> None:
        self.opened = False
        self._here: Sequence[Counters] = ()
        """Where is counted now; empty: nothing was since it was last left."""
        self._use(self._unopened)

    def _placed(self, counters: Sequence[Counters]) -> Sequence[Counters]:
        for number, each in enumerate(counters):
            others = [kept[number] for kept in (self._past, self._memory) if kept and kept is not counters]
            each.beside = tuple(others)
        return counters

    def _use(self, counters: Sequence[Any]) -> None:
        self.main, self.mirrored, self.control = counters
        self.count: Callable[[str], None] = self.main.add_call

    def now(self, kind: Kind) -> Counters:
        """Where something of a kind is counted now."""
        here = self._here or self._in_memory()
        return here[KINDS.index(kind)]

    def _in_memory(self) -> Sequence[Counters]:
        with self._lock:
            fresh = _blank()
            if not self._here:  # else a signal handler or another thread has counted in between
                self._memory = self._memory or fresh
                self._here = self._placed(self._memory)
            return self._here

    def counted(self, reason: str) -> None:
        """One call, where calls are counted now."""
        cast("CallCounters", self.now("main")).add_call(reason)

    def open(self) -> None:
        """See that there are counters that others can read."""
        with self._lock:
            if self.opened or time.monotonic() < self._retry_at:
                return
            self._retry_at = time.monotonic() + _RETRY
            try:
                counters = self._opened()
            except OSError as error:
                self._failed(error)
                return
            self.opened, memory, self._memory = True, self._memory, ()
            self._here = self._placed(counters)
            self._use(counters)
            _pour(memory, counters)
            self._retry_at = 0.0

    def _opened(self) -> Sequence[Counters]:
        """New counters at 0.

        Raises:
            OSError: not now.
        """
        raise NotImplementedError

    def _failed(self, error: OSError) -> None:
        """They could not be opened."""

    def leave(self, *, lost: bool) -> None:
        """Begin new counters. What was counted so far is others' to keep, unless they have lost it."""
        with self._lock:
            if self.opened:
                if lost:
                    self._memory = self._memory or _blank()
                else:
                    self._past = self._past or _blank()
                _pour(self._here, self._memory if lost else self._past)
                self._unopen()

    def tend(self) -> None:
        """See that readers find what was counted."""
        if not self.opened and any(counters.own() for counters in self._memory):
            self.open()

    def forked(self) -> None:
        """In a child process: the counts so far are the parent's. A child pays for what it makes: nothing yet."""
        self._lock = self._new_lock()
        self._past: Sequence[Counters] = ()
        """What is kept elsewhere by now; it only shows here. Empty: nothing is."""
        self._memory: Sequence[Counters] = ()
        """What is kept nowhere else. Empty: nothing is."""
        self._unopen()


def _blank() -> Sequence[Counters]:
    return [made(kind) for kind in KINDS]


def _pour(sources: Sequence[Counters], into: Sequence[Counters]) -> None:
    """Add what was counted in some counters to others, if there are any."""
    for source, to in zip(sources, into, strict=False):
        for name, count in source.own().items():
            to.add(name, count)


class Ledger(Book):
    """Counters in files beside the frames of a process that writes them itself; the folder is made where need be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stem = ""
        """What the names of its files begin with; empty where there are none now."""
        self._holds: list[Hold] = []
        super().__init__()

    def _opened(self) -> Sequence[Counters]:
        spare()
        writer = new_writer()
        private_folder(self.folder)
        filed = [self._file(writer, kind) for kind in KINDS]
        self.stem = writer
        return filed

    def _failed(self, error: OSError) -> None:
        unwritable(self.folder, error)
        self.forget()

    def _file(self, writer: str, kind: Kind) -> Counters:
        making = self.folder / f"{writer}.{kind}.making"
        counters = made(kind, making)
        self._holds.append(Hold(making))
        making.replace(self.folder / f"{writer}.{kind}.counters")  # held before any reader can see it
        return counters

    def tend(self) -> None:
        """Let readers find the counters again where the folder was removed, or could not be written until now."""
        with self._lock:
            if self.opened and self.stem and not (self.folder / f"{self.stem}.main.counters").exists():
                self.forget()
                self.leave(lost=True)
            super().tend()

    def forget(self) -> None:
        """Let go of the files' locks: a reader may add them to its total."""
        for hold in self._holds:
            hold.release()
        self._holds.clear()
        self.stem = ""

    def forked(self) -> None:
        """In a child process: the counts so far are the parent's."""
        self.forget()
        super().forked()
