"""Counters of one writing process, in files beside its frames, and their sum over all processes.

A process holds a shared lock on its files while it lives. Files whose lock is free belong to the dead: a reader adds
them to one total and removes them, so that restarts don't pile up files.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

from shadoweval.counters import Counters, read_counters
from shadoweval.transport.locks import held, hold
from shadoweval.transport.segments import new_writer, private_folder

__all__ = ["NUMBERED", "Kind", "Ledger", "total"]

Kind = Literal["main", "mirrored", "control"]
_KINDS: Final[tuple[Kind, ...]] = ("main", "mirrored", "control")
NUMBERED: Final = tuple(str(i) for i in range(128))
"""Names of the slots of `mirrored` and `control`: the bins of a histogram of durations."""


class CallCounters(Counters):
    """Counters of calls."""

    def add_call(self, reason: str) -> None:
        """One eligible call, and what became of it, at once. Unknown reasons raise KeyError, and nothing is counted."""
        if self._compiled is not None:
            self._compiled.add_call(reason)
            return
        slots, index = self._slots, self._index[reason]
        if self._lock is None:
            slots[index] += 1
            slots[self._index["eligible"]] += 1
            return
        with self._lock:
            slots[index] += 1
            slots[self._index["eligible"]] += 1


class _Unopened:
    """Stands for counters that are opened when something is counted: most children of a fork count nothing."""

    def __init__(self, ledger: Ledger, kind: Kind) -> None:
        self._ledger, self._kind = ledger, kind

    def add(self, name: str, count: int = 1) -> None:
        self._ledger.open()
        getattr(self._ledger, self._kind).add(name, count)

    def add_call(self, reason: str) -> None:
        self._ledger.open()
        self._ledger.count(reason)

    def snapshot(self) -> dict[str, int]:
        return {}


class Ledger:
    """Counters of this process: `main` for what became of calls, `mirrored` and `control` for their durations.

    They lie in memory while the folder can't be written. The three are replaced when they move or the process forks:
    keep the ledger, not them.

    Args:
        folder: Where their files lie; made where it is missing.
    """

    main: CallCounters
    mirrored: Counters
    control: Counters
    count: Callable[[str], None]
    """`main.add_call`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks: list[int] = []
        self._file: Path | None = None
        self.open()

    def open(self) -> None:
        """New counters at 0."""
        writer = new_writer()
        try:
            private_folder(self.folder)
            main, mirrored, control = (self._made(writer, kind) for kind in _KINDS)
            self._file = self.folder / f"{writer}.main.counters"
        except OSError:
            self.forget()
            self._file = None
            main, mirrored, control = CallCounters(), Counters(names=NUMBERED), Counters(names=NUMBERED)
        self._use(main, mirrored, control)

    def _use(self, main: Any, mirrored: Any, control: Any) -> None:
        self.main, self.mirrored, self.control = main, mirrored, control
        compiled = getattr(main, "_compiled", None)
        self.count = main.add_call if compiled is None else compiled.add_call

    def _made(self, writer: str, kind: Kind) -> Counters:
        making = self.folder / f"{writer}.{kind}.making"
        counters = CallCounters(making) if kind == "main" else Counters(making, names=NUMBERED)
        making.chmod(0o600)
        self._locks.append(hold(making))
        making.replace(self.folder / f"{writer}.{kind}.counters")  # held before any reader can see it
        return counters

    def tend(self) -> None:
        """Let readers find the counters again where the folder was removed, or could not be written until now."""
        if self._file is not None and self._file.exists():
            return
        before = [(kind, getattr(self, kind).snapshot()) for kind in _KINDS]
        self.forget()
        self.open()
        for kind, counts in before:
            for name, count in counts.items():
                getattr(self, kind).add(name, count)

    def forget(self) -> None:
        """Let go of the files' locks: a reader may add them to its total."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def forked(self) -> None:
        """In a child process: the counts so far are the parent's."""
        self.forget()
        self._use(_Unopened(self, "main"), _Unopened(self, "mirrored"), _Unopened(self, "control"))


def _read_total(path: Path) -> tuple[dict[str, dict[str, int]], list[str]]:
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, []
    return found["sums"], found["folded"]


def total(folder: Path, kind: Kind, *, fold: bool = False) -> Mapping[str, int]:
    """Sum over all processes, living and dead.

    Args:
        folder: The spool's folder.
        kind: Which counters.
        fold: Add the dead's files to the total and remove them; only for the one reader that holds the spool's lock.
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
    for kind in _KINDS:
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
