"""Reads a home's shared memory: moves frames from all rings into their spools, and keeps the sums of what was counted.

Whoever holds the memory's lock does so: the home's collector, and where none lives whoever looks (`adopt`): a worker,
`status`, an evaluation, the application itself at its end. What a dead process left is its successor's.

A frame leaves a ring only when a segment has it. An experiment whose spool can't be written must not stop the others:
its frames are held in shared memory, and its processes are told to count further ones as `full`.
"""

from __future__ import annotations

import contextlib
import os
import time
from itertools import islice
from pathlib import Path
from typing import Final

from shadoweval.transport.frames import framed, header
from shadoweval.transport.memory import memory_of, readers_lock, release
from shadoweval.transport.pages import PageReader
from shadoweval.transport.ring import Ring
from shadoweval.transport.spools import FRAMES, Spools
from shadoweval.transport.sums import Sums

__all__ = ["Sweep", "adopt", "beats_of"]

_BLOCK: Final = 256 * 1024
"""Bytes moved at once; what fits into the processor's own cache costs half as much a frame as 1 MiB does."""
_ASIDE: Final = 65_536
_VERIFY: Final = 0.2
_LOOKS: Final = 400
_UNFINISHED: Final = 60.0
_TICK: Final = 200_000_000
"""Nanoseconds after which a folder's time of change has certainly moved on."""


class Writer:
    """What one process has there."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pages: PageReader | None = None
        self.rings: list[Ring] = []
        """Oldest first: it writes into the last one."""
        self.ended = False
        self._verify_at = 0.0

    def refresh(self) -> None:
        """Read what it counted, after seeing whether it will count more."""
        now = time.monotonic()
        if self.pages is None:
            self.ended = True
            return
        if now >= self._verify_at and not self.ended:
            self._verify_at = now + _VERIFY
            self.ended = self.pages.ended
        self.pages.refresh()
        if self.pages.closed and not self.ended:
            self.ended = True
            self.pages.refresh()

    @property
    def names(self) -> set[str]:
        """Its experiments."""
        return set(filter(None, self.pages.names)) if self.pages is not None else set()

    def whose(self, number: int) -> str:
        """The experiment of a frame; empty where it is none."""
        if self.pages is None:
            return ""
        if number >= len(self.pages.names) or not self.pages.names[number]:
            self.pages.refresh()  # its first one may be younger than the last look
        return self.pages.names[number] if number < len(self.pages.names) else ""


class Sweep:
    """One reader's work in a home's memory.

    Args:
        root: The home's folder of spools.
        folder: Its shared memory, whose lock is held.
        reader: Writer id that stands in the rings, for a collector that goes on; 0: a look in passing.
    """

    def __init__(self, root: Path, folder: Path, *, reader: int = 0) -> None:
        self._folder, self._reader = folder, reader
        self.sums = Sums(root, folder)
        self.spools = Spools(root, folder)
        self.processes: dict[str, Writer] = {}
        self.copied = False
        """Whether what was counted is in the home."""
        self._root, self._listed = root, 0
        self._damage: list[tuple[Writer, bytes, str]] = []

    def look(self) -> bool:
        """Move what waits, a block of each ring. True: there may be more."""
        gone = [process for process in self.processes.values() if process.ended]  # none of its rings comes after this
        self._find(sure=bool(gone))
        for process in self.processes.values():
            process.refresh()
        moved = self.spools.give_back() if self.spools.held else False
        for process in self.processes.values():
            for ring in list(process.rings):
                if self._reader:
                    ring.sign(self._reader, time.monotonic_ns())
                more = self._move(process, ring)
                moved |= more
                if more or ring.waiting:
                    break  # its later rings come later
                if process.ended or ring is not process.rings[-1]:
                    self._remove(process, ring)
        self._count_damage()
        self._tell()
        for process in gone:
            with contextlib.suppress(OSError):
                self._retire(process)
        pages = [process.pages for process in self.processes.values() if process.pages is not None]
        self.copied = self.sums.copy(set().union(*(each.changed for each in pages)), [each.counts for each in pages])
        for each in pages:
            each.changed.clear()
        self.spools.sync()
        return moved

    def _find(self, *, sure: bool) -> None:
        changed = os.stat(self._folder).st_mtime_ns  # noqa: PTH116 - at each look
        if not sure and changed == self._listed and time.time_ns() - changed > _TICK:
            return
        self._listed = changed
        for name in sorted(os.listdir(self._folder)):  # noqa: PTH208 - at each look
            process, _, kind = name.partition(".")
            if process in self.sums.folded and kind.endswith(("counts", "ring")):
                (self._folder / name).unlink(missing_ok=True)
                continue
            if not kind.endswith(("counts", "ring")):
                if kind.endswith("making"):
                    _forget(self._folder / name)
                continue
            known = self.processes.get(process) or Writer(process)
            with contextlib.suppress(OSError):
                self._open(known, self._folder / name)
            if known.pages is not None or known.rings:
                self.processes[process] = known

    def _open(self, process: Writer, path: Path) -> None:
        if path.suffix == ".counts":
            process.pages = process.pages or PageReader(path)
        elif all(ring.path != path for ring in process.rings):
            try:
                ring = Ring(path)
            except ValueError as error:
                self._damage.append((process, path.read_bytes()[:_ASIDE], str(error)))
                path.unlink()
                return
            process.rings.append(ring)

    def _move(self, process: Writer, ring: Ring) -> bool:
        by: dict[str, list[bytes | memoryview]] = {}
        strays: list[bytes] = []
        damage = "" if ring.sound else "it does not say that it is a ring"
        try:
            for number, frame in islice(ring.take(_BLOCK if ring.sound else 0), FRAMES):
                experiment = process.whose(number)
                if experiment:
                    by.setdefault(experiment, []).extend((header(frame), frame))
                else:
                    strays.append(bytes(frame[:_ASIDE]))
        except ValueError as error:
            damage = str(error)
        try:
            for experiment, parts in by.items():
                self.spools.append(experiment, parts)
        except OSError:
            ring.again()
            return False
        ring.taken()
        for stray in strays:
            self._damage.append((process, stray, "it is no experiment's"))
        if damage and ring.waiting:
            self._damage.append((process, ring.skip(_ASIDE), damage))
        return bool(by or strays)

    def _count_damage(self) -> None:
        """Damage becomes a frame that can't be read: one, or one for each experiment that it may have been of."""
        everybody = {name for process in self.processes.values() for name in process.names}
        damage, self._damage = self._damage, []
        for process, stretch, why in damage:
            damaged = bytearray(framed(f"a stretch of shared memory: {why}\n".encode() + stretch))
            damaged[-1] ^= 0xFF  # its checksum fails
            folders = {path.name for path in self._root.iterdir() if path.is_dir()}
            for experiment in process.names or everybody or folders:
                with contextlib.suppress(OSError):
                    self.spools.append(experiment, [bytes(damaged), b""])

    def _remove(self, process: Writer, ring: Ring) -> None:
        ring.path.unlink(missing_ok=True)
        process.rings.remove(ring)
        ring.close()

    def _retire(self, process: Writer) -> None:
        if process.rings:
            return
        self.sums.retire(process.name, process.pages.counts if process.pages is not None else {})
        del self.processes[process.name]
        if process.pages is not None:
            process.pages.path.unlink(missing_ok=True)
            process.pages.close()

    def _tell(self) -> None:
        """Let processes know whose frames are not taken, and whose are again."""
        for process in self.processes.values():
            if process.pages is not None and process.pages.refused != self.spools.held & process.names:
                for name in process.names:
                    process.pages.refuse(name, name in self.spools.held)

    @property
    def idle(self) -> bool:
        """Whether nobody is there, and nothing is left to do."""
        return not self.processes and not self.spools.held and self.copied

    def close(self) -> None:
        """Let go of everything; where nobody is left, what was counted is the dead's."""
        if self.idle:
            with contextlib.suppress(OSError):
                self.sums.end()
        self.spools.sync(now=True)
        self.spools.close()
        for process in self.processes.values():
            for ring in process.rings:
                ring.close()
            if process.pages is not None:
                process.pages.close()


def _forget(path: Path) -> None:
    """A file whose maker was killed while making it."""
    with contextlib.suppress(OSError):
        if time.time() - path.stat().st_mtime > _UNFINISHED:
            path.unlink()


def beats_of(root: Path) -> dict[Path, int]:
    """Last signs of life of whoever reads the rings of the home whose spools lie in `root`, by ring."""
    folder = memory_of(root)
    return {} if folder is None else {path: Ring.beat_of(path) for path in folder.glob("*.ring")}


def adopt(root: Path) -> bool:
    """Do what a collector would do, once, in the home whose spools lie in `root`; where one lives it is let be.

    True: everything that waited was taken.
    """
    folder = memory_of(root)
    try:
        names = [] if folder is None else os.listdir(folder)  # noqa: PTH208 - at each look
        if folder is None or not any(name.endswith((".counts", ".ring", "held")) for name in names):
            return True
        lock = readers_lock(folder)
    except OSError:
        return False
    if lock is None:
        return False
    try:
        sweep = Sweep(root, folder)
        try:
            quiet = 0
            for _ in range(_LOOKS):
                quiet = 0 if sweep.look() else quiet + 1
                if quiet > 1:  # the second one lets go of those who are gone
                    break
        finally:
            sweep.close()
    except OSError:
        return False
    finally:
        release(lock)
    return True
