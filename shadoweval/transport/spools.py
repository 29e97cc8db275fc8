"""Where a reader of shared memory puts frames: by experiment into its spool, or aside until that takes them."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from shadoweval.private import private_folder
from shadoweval.transport.frames import header, scan
from shadoweval.transport.segments import SegmentWriter
from shadoweval.transport.spool import CAP_BYTES, Room

__all__ = ["FRAMES", "Spools"]

FRAMES: Final = 500
"""Of two parts each; see `SegmentWriter.append`."""
_SYNC: Final = 0.1
_OPEN: Final = 20
"""Segments that are open at once."""
_HELD_BYTES: Final = 16 * 1024 * 1024
_Parts = Sequence[bytes | memoryview]


class Spools:
    """Where frames go: by experiment, into its spool, or into what is held for it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._held = root, folder / "held"
        self._writers: OrderedDict[Path, SegmentWriter] = OrderedDict()
        self._rooms: dict[str, Room] = {}
        self._dirty: set[Path] = set()
        self._synced = 0.0
        self.held = {path.parent.name for path in self._held.glob("*/*.seg")}
        """Experiments whose frames their spool does not take now."""

    def append(self, experiment: str, parts: _Parts) -> None:
        """Keep frames, two parts each.

        Raises:
            OSError: nothing can take them now.
        """
        if experiment not in self.held:
            try:
                self._write(experiment, parts)
            except OSError:
                self.held.add(experiment)
            else:
                return
        size = sum(path.stat().st_size for path in self._held.glob("*/*.seg"))
        if size + sum(map(len, parts)) > _HELD_BYTES:
            raise OSError("no more is held")
        self._writer(self._held / experiment).append(parts)

    def _write(self, experiment: str, parts: _Parts) -> None:
        folder = self._root / experiment
        room = self._rooms.setdefault(experiment, Room(folder, CAP_BYTES))
        if not room.take(sum(map(len, parts))):
            raise OSError("the spool is full")
        self._writer(folder).append(parts)
        self._dirty.add(folder)

    def _writer(self, folder: Path) -> SegmentWriter:
        writer = self._writers.pop(folder, None)
        if writer is None:
            private_folder(folder.parent)
            writer = SegmentWriter(folder)
        self._writers[folder] = writer
        if len(self._writers) > _OPEN:
            self._close(next(iter(self._writers)))
        return writer

    def _close(self, folder: Path) -> None:
        if folder in self._dirty:
            self._sync(folder)
        self._writers.pop(folder).close()

    def give_back(self) -> bool:
        """What is held for an experiment goes where it belongs, as soon as that takes it. True: something did."""
        moved = False
        for experiment in list(self.held):
            if self._held / experiment in self._writers:
                self._close(self._held / experiment)
            try:
                for path in sorted((self._held / experiment).glob("*.seg")):
                    frames = scan(path.read_bytes(), limit=1_000_000, last=True).frames
                    for at in range(0, len(frames), FRAMES):
                        part = [piece for frame in frames[at : at + FRAMES] for piece in (header(frame), frame)]
                        self._write(experiment, part)
                    path.unlink()
                    moved = True
            except OSError:
                continue
            self.held.discard(experiment)
            with contextlib.suppress(OSError):
                (self._held / experiment).rmdir()
                self._held.rmdir()
        return moved

    def _sync(self, folder: Path) -> None:
        self._dirty.discard(folder)
        with contextlib.suppress(OSError):
            self._writers[folder].sync()

    def sync(self, *, now: bool = False) -> None:
        """Make what was moved survive a power loss, every 100 ms."""
        moment = time.monotonic()
        if self._dirty and (now or moment - self._synced >= _SYNC):
            for folder in list(self._dirty):
                self._sync(folder)
            self._synced = moment

    def close(self) -> None:
        """Let go of the segments."""
        for folder in list(self._writers):
            self._close(folder)
