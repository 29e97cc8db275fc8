"""What all processes that share a memory have counted: kept there for those that are gone, and copied into the home.

In the home there is one file an experiment and kind, `shared-ID.KIND.counters`, whatever the number of processes. It
holds the sum over the dead and the living, and each copy replaces the one before: nothing is counted twice, whoever
dies. What the dead counted becomes part of `sums`, in shared memory, before their files are removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from shadoweval.counters import NAMES, counters_file, write_numbers
from shadoweval.private import private_folder, write_private
from shadoweval.transport.ledger import KINDS, NUMBERED, Kind

__all__ = ["SHARED", "Sums"]

SHARED: Final = "shared-"
_HOUR: Final = 3600.0
Counts = dict[Kind, Counter[str]]
Key = tuple[str, Kind]


class Sums:
    """The sums of a home's shared memory `folder`, and their copies below `root`.

    Raises:
        OSError: there is no room in that memory.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._file = root, folder / "sums"
        self.name, self._dead, self.folded = _read(self._file)
        if not self.name:  # the next one must find the same, or what it copies would count twice
            self.name = os.urandom(6).hex()
            self._write(self.name, {}, [])
        self._copied: dict[Key, dict[str, int]] = {}
        self._names: dict[Key, tuple[str, ...]] = {}
        self._late: set[str] = set(self._dead)
        """Experiments whose copies are not what they should be."""
        self._touched = 0.0

    def retire(self, process: str, counts: Mapping[str, Counts]) -> None:
        """A process is gone, and this is what it had counted. Its file may be removed then.

        Raises:
            OSError: it is as it was.
        """
        dead = {experiment: _copy_of(of) for experiment, of in self._dead.items()}
        for experiment, of in counts.items():
            sums = dead.setdefault(experiment, _copy_of({}))
            for kind in KINDS:
                sums[kind].update(of[kind])
        self._write(self.name, dead, [process])
        self._dead, self.folded = dead, [process]
        self._late |= set(counts)

    def _write(self, name: str, dead: Mapping[str, Mapping[Kind, Mapping[str, int]]], folded: list[str]) -> None:
        partial = self._file.with_name("sums.partial")
        write_private(partial, json.dumps({"id": name, "sums": dead, "folded": folded}).encode())
        partial.replace(self._file)

    def copy(self, changed: Iterable[str], living: Iterable[Mapping[str, Counts]]) -> bool:
        """Bring the files of experiments up to date. False: some can't be written now."""
        self._late |= set(changed)
        now = time.monotonic()
        if now - self._touched >= _HOUR:
            self._touched = now
            for key in self._copied:
                with contextlib.suppress(OSError):
                    os.utime(self._path(*key))
        everybody = list(living) if self._late else []
        for experiment in list(self._late):
            try:
                for kind in KINDS:
                    self._copy(experiment, kind, everybody)
            except OSError:
                continue
            self._late.discard(experiment)
        return not self._late

    def _path(self, experiment: str, kind: Kind) -> Path:
        return self._root / experiment / f"{SHARED}{self.name}.{kind}.counters"

    def _copy(self, experiment: str, kind: Kind, living: Iterable[Mapping[str, Counts]]) -> None:
        sums = Counter(self._dead.get(experiment, {}).get(kind, {}))
        for counts in living:
            sums.update(counts.get(experiment, {}).get(kind, {}))
        path = self._path(experiment, kind)
        key: Key = (experiment, kind)
        if not sums or (sums == self._copied.get(key) and path.exists()):
            return
        names = self._names.get(key, NAMES if kind == "main" else NUMBERED)
        names = (*names, *sorted(set(sums) - set(names)))  # a process of another version may count what we don't
        if self._names.get(key) != names or not path.exists():
            private_folder(path.parent)
            partial = path.with_suffix(".partial")
            write_private(partial, counters_file(names))
            partial.replace(path)
            self._names[key] = names
        write_numbers(path, [sums[name] for name in names])
        self._copied[key] = dict(sums)

    def end(self) -> None:
        """Nobody is left: the copies are the dead's, and a next process begins anew.

        The sums go first: who dies in between leaves files that are the dead's later, and none is counted twice.
        """
        if self._late:
            return
        name = os.urandom(6).hex()
        self._write(name, {}, [])
        for experiment in self._dead:
            for path in [self._path(experiment, kind) for kind in KINDS]:
                with contextlib.suppress(OSError):
                    path.rename(path.with_name(path.name.removeprefix(SHARED)))
        self.name, self._dead, self.folded = name, {}, []
        self._copied.clear()
        self._names.clear()


def _read(file: Path) -> tuple[str, dict[str, Counts], list[str]]:
    """Which memory it is, what the dead counted, and whose files are in that and may be there still.

    The file is replaced whole, in memory. Damaged it is somebody's doing: it begins anew, beside the old copies.
    """
    try:
        content: Any = json.loads(file.read_bytes())
        sums = {str(experiment): _copy_of(of) for experiment, of in content["sums"].items()}
        return str(content["id"]), sums, [str(name) for name in content["folded"]]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return "", {}, []


def _copy_of(sums: Mapping[Kind, Mapping[str, int]]) -> Counts:
    counts: Counts = {}
    for kind in KINDS:
        counts[kind] = Counter({str(name): int(count) for name, count in sums.get(kind, {}).items()})
    return counts
