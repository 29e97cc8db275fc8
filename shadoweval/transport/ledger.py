"""Counters of one writing process, in files beside its frames, and their sum over all processes.

A process holds a shared lock on its files while it lives. Files whose lock is free belong to the dead: a reader adds
them to one total and removes them, so that restarts don't pile up files.

A store into a file's page may wait for the file's disk. So while a collector lives calls are counted in the memory that
is shared with it (`transport.ring`), and it copies the numbers into the files: all that the process counted there since
its first call, so that no copy is lost or counted twice, whoever dies. It holds the lock on the files as well.
"""

from __future__ import annotations

import json
import mmap
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from shadoweval.counters import NAMES, Counters, read_counters
from shadoweval.transport.locks import Hold, held
from shadoweval.transport.segments import new_writer, private_folder, unwritable

__all__ = ["KINDS", "PLACES", "Kind", "Ledger", "total"]

Kind = Literal["main", "mirrored", "control"]
KINDS: Final[tuple[Kind, ...]] = ("main", "mirrored", "control")
NUMBERED: Final = tuple(str(i) for i in range(128))
"""Names of the slots of `mirrored` and `control`: the bins of a histogram of durations."""
PLACES: Final[Mapping[Kind, tuple[int, int]]] = {"main": (1024, 64), "mirrored": (1536, 128), "control": (2560, 128)}
"""Where the numbers of a kind begin in a page that is shared with a collector, and how many there are."""


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

    def __init__(self, ledger: Ledger, kind: Kind, past: Counters) -> None:
        self._ledger, self._kind, self._past = ledger, kind, past

    def add(self, name: str, count: int = 1) -> None:
        self._ledger.open()
        getattr(self._ledger, self._kind).add(name, count)

    def add_call(self, reason: str) -> None:
        self._ledger.open()
        self._ledger.count(reason)

    def own(self) -> dict[str, int]:
        return {}

    def snapshot(self) -> dict[str, int]:
        return self._past.own()


def _made(kind: Kind, path: Path | None = None, *, page: mmap.mmap | None = None) -> Counters:
    place = None if page is None else (page, PLACES[kind][0])
    names = NAMES if kind == "main" else NUMBERED
    return (CallCounters if kind == "main" else Counters)(path, names=names, place=place)


def _pour(sources: Sequence[Counters], into: Sequence[Counters]) -> None:
    for source, to in zip(sources, into, strict=True):
        for name, count in source.own().items():
            to.add(name, count)


class Ledger:
    """Counters of this process: `main` for what became of calls, `mirrored` and `control` for their durations.

    They lie in memory while the folder can't be written. The three are replaced when they move or the process forks:
    keep the ledger, not them.

    The folder is made where it is missing.
    """

    main: CallCounters
    mirrored: Counters
    control: Counters

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stem = ""
        """What the names of its files begin with; empty where there are none now."""
        self.locks: list[Hold] = []
        """Its own on them."""
        self._retry_at = 0.0
        self._begin()
        self._open()

    def _begin(self) -> None:
        self._lock = threading.RLock()
        self._past: list[Counters] = [_made(kind) for kind in KINDS]
        self._filed: list[Counters] = []
        self._shared: list[Counters] = []
        self._unopened = True

    def open(self) -> None:
        """See that there are counters."""
        with self._lock:
            if self._unopened:
                self._open()

    def _open(self) -> None:
        """New counters at 0."""
        writer = new_writer()
        try:
            private_folder(self.folder)
            filed = [self._file(writer, kind) for kind in KINDS]
            self.stem = writer
        except OSError as error:
            unwritable(self.folder, error)
            self._retry_at = time.monotonic() + _RETRY
            self.forget()
            filed = [_made(kind) for kind in KINDS]
        self._filed, self._unopened = filed, False
        self._join()
        self._use(filed)

    def _file(self, writer: str, kind: Kind) -> Counters:
        making = self.folder / f"{writer}.{kind}.making"
        counters = _made(kind, making)
        making.chmod(0o600)
        self.locks.append(Hold(making))
        making.replace(self.folder / f"{writer}.{kind}.counters")  # held before any reader can see it
        return counters

    def _join(self) -> None:
        """Each tells what was counted beside it as well."""
        for n, past in enumerate(self._past):
            shared, filed = self._shared[n : n + 1], self._filed[n : n + 1]
            for counters in filed:
                counters.beside = (past, *shared)
            for counters in shared:
                counters.beside = (past, *filed)

    def _use(self, counters: Sequence[Any]) -> None:
        self.main, self.mirrored, self.control = counters
        self.count: Callable[[str], None] = self.main.add_call

    def share(self, page: mmap.mmap) -> None:
        """Memory in which calls can be counted (`divert`)."""
        with self._lock:
            self._shared = [_made(kind, page=page) for kind in KINDS]
            self._join()

    def divert(self, into_memory: bool) -> None:
        """Count in the shared memory, while somebody copies the numbers into the files, or in the files."""
        with self._lock:
            wanted = self._shared if into_memory and self.stem else self._filed
            if wanted and self.main is not wanted[0]:
                self._use(wanted)

    def retire(self) -> None:
        """Leave the shared memory, and the files into which it is copied: what is counted later goes into new ones."""
        with self._lock:
            self.divert(into_memory=False)
            shared, self._shared = self._shared, []
            if any(counters.own() for counters in shared):
                filed = self._filed
                if self.stem:
                    self._use([_Unopened(self, kind, past) for kind, past in zip(KINDS, self._past, strict=True)])
                    _pour(filed, self._past)
                    self._filed, self._unopened = [], True
                    self.forget()
                _pour(shared, self._past if self._unopened else filed)
            self._join()

    def tend(self) -> None:
        """Let readers find the counters again where the folder was removed, or could not be written until now."""
        with self._lock:
            if self._unopened or (self.stem and (self.folder / f"{self.stem}.main.counters").exists()):
                return
            if not self.stem and time.monotonic() < self._retry_at:
                return
            before = self._filed
            self.forget()
            self._open()
            _pour(before, self._filed)

    def forget(self) -> None:
        """Let go of the files' locks: a reader may add them to its total."""
        for lock in self.locks:
            lock.release()
        self.locks.clear()
        self.stem = ""

    def forked(self) -> None:
        """In a child process: the counts so far are the parent's."""
        self.forget()
        self._begin()
        self._use([_Unopened(self, kind, past) for kind, past in zip(KINDS, self._past, strict=True)])


def _read_total(path: Path) -> tuple[dict[str, dict[str, int]], list[str]]:
    try:
        total = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, []
    return total["sums"], total["folded"]


def total(folder: Path, kind: Kind, *, fold: bool = False) -> Mapping[str, int]:
    """Sum over all processes, living and dead.

    With `fold` the dead's files are added to the total and removed: only for the one reader that holds the spool's
    lock.
    """
    path = folder / "total.json"
    sums, folded = _read_total(path)
    if fold:
        sums, folded = _folded(folder, sums, folded)
    result = Counter(sums.get(kind, {}))
    for file in folder.glob(f"*.{kind}.counters"):
        if file.name not in folded:
            try:
                result.update(read_counters(file))
            except (OSError, ValueError):  # removed meanwhile, or being made
                continue
    return dict(result)


def _folded(
    folder: Path, sums: dict[str, dict[str, int]], folded: list[str]
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Dead processes' files become part of the total before they are removed; a crash in between counts none twice."""
    for name in folded:
        (folder / name).unlink(missing_ok=True)
    dead: list[str] = []
    sums = {kind: dict(counts) for kind, counts in sums.items()}
    for kind in KINDS:
        for file in folder.glob(f"*.{kind}.counters"):
            if file.name in folded or held(file):
                continue
            try:
                counts = Counter(sums.get(kind, {}))
                counts.update(read_counters(file))
            except (OSError, ValueError):
                continue
            sums[kind] = dict(counts)
            dead.append(file.name)
    if not dead and not folded:
        return sums, []
    partial = folder / "total.partial"
    partial.write_text(json.dumps({"sums": sums, "folded": dead}))
    partial.replace(folder / "total.json")
    return sums, dead
