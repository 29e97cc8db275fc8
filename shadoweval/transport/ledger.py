"""Counters of one writing process, in files beside its frames, and their sum over all processes.

A process holds a shared lock on its files while it lives. Files whose lock is free belong to the dead: a reader adds
them to one total and removes them, so that restarts don't pile up files.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

from shadoweval.counters import Counters, read_counters
from shadoweval.transport.locks import held, hold

__all__ = ["NUMBERED", "Kind", "Ledger", "total"]

Kind = Literal["main", "mirrored", "control"]
_KINDS: Final[tuple[Kind, ...]] = ("main", "mirrored", "control")
NUMBERED: Final = tuple(str(i) for i in range(128))
"""Names of the slots of `mirrored` and `control`: the bins of a histogram of durations."""


class Ledger:
    """Counters of this process: `main` for what became of calls, `mirrored` and `control` for their durations.

    Args:
        folder: Where their files lie; None keeps them in memory.
        writer: Name of this process, different for every process that ever lived.
    """

    def __init__(self, folder: Path | None, writer: str) -> None:
        self.folder, self.writer = folder, writer
        self._locks: list[int] = []
        self.main = self._open(folder, writer, "main")
        self.mirrored = self._open(folder, writer, "mirrored")
        self.control = self._open(folder, writer, "control")

    def _open(self, folder: Path | None, writer: str, kind: Kind) -> Counters:
        names = {} if kind == "main" else {"names": NUMBERED}
        if folder is None:
            return Counters(None, **names)
        making = folder / f"{writer}.{kind}.making"
        counters = Counters(making, **names)
        making.chmod(0o600)
        self._locks.append(hold(making))
        making.replace(folder / f"{writer}.{kind}.counters")  # held before any reader can see it
        return counters

    def add_all(self, before: Ledger) -> None:
        """Take over what another ledger of this process counted."""
        for mine, theirs in (
            (self.main, before.main),
            (self.mirrored, before.mirrored),
            (self.control, before.control),
        ):
            for name, count in theirs.snapshot().items():
                mine.add(name, count)

    @property
    def visible(self) -> bool:
        """Whether a reader can find it."""
        return self.folder is not None and (self.folder / f"{self.writer}.main.counters").exists()

    def forget(self) -> None:
        """Close descriptors inherited from a parent process; its counters stay its own."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()


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
