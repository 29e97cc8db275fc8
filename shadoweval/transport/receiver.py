"""The reading end of the spool: takes frames while writers write, remembers durably how far it came.

What was taken comes again until its batch is settled, also after the reader's death. One reader at a time: whoever
holds `reader.lock`. Damaged stretches are given out once, as `corrupt`, and skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

from shadoweval.capture.wire.drafts import finished
from shadoweval.errors import CorruptFrameError
from shadoweval.transport.frames import HEADER, scan
from shadoweval.transport.ledger import Kind, total
from shadoweval.transport.locks import held, sole
from shadoweval.transport.segments import private_folder

__all__ = ["SpoolReceiver", "wipe_settled"]

_CHUNK: Final = 4 * 1024 * 1024
_ASIDE: Final = 65_536
_ZEROS: Final = bytes(256 * 1024)


class SpoolBatch:
    """Frames taken from a spool."""

    def __init__(self, receiver: SpoolReceiver, cursor: dict[str, int]) -> None:
        self._receiver, self.cursor = receiver, cursor
        self.frames: list[bytes] = []
        """In the order of writing, per writing process."""
        self.corrupt: list[tuple[bytes, str]] = []
        """Damaged stretches with the reason; each at most 64 KiB of what was damaged."""
        self.finished: list[str] = []

    def add(self, payloads: Sequence[bytes]) -> None:
        """Frames, and drafts that become frames here."""
        for payload in payloads:
            try:
                self.frames.append(finished(payload))
            except CorruptFrameError as error:
                self.corrupt.append((payload[:_ASIDE], str(error)))

    def settle(self) -> None:
        """The frames are stored durably: remember it, and remove segments that are done."""
        self._receiver.settled(self.cursor, self.finished)


class SpoolReceiver:
    """Reads an experiment's spool."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self._lock: int | None = None

    def receive(self, limit: int) -> SpoolBatch | None:
        """At most `limit` frames; None when there are none, or another reader is at work."""
        if not self.folder.is_dir() or not self._alone():
            return None
        batch = SpoolBatch(self, _read_cursor(self.folder))
        names = sorted(path.name for path in self.folder.glob("*.seg"))
        for name, later in zip_longest(names, names[1:], fillvalue=""):
            if len(batch.frames) >= limit:
                break
            # Liveness first: what is read after its writer let go is all there will ever be.
            ended = later.rpartition("-")[0] == name.rpartition("-")[0] or not held(self.folder / name)
            self._read(name, batch, limit=limit, ended=ended)
        if not batch.frames and not batch.corrupt:
            if batch.finished:
                batch.settle()
            return None
        return batch

    def _read(self, name: str, batch: SpoolBatch, *, limit: int, ended: bool) -> None:
        at = batch.cursor.get(name, 0)
        try:
            descriptor = os.open(self.folder / name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            size = os.fstat(descriptor).st_size
            wanted = _CHUNK
            while at < size and len(batch.frames) < limit:
                block = _pread(descriptor, min(wanted, size - at), at)
                last = ended and at + len(block) >= size
                stretch = scan(block, limit=limit - len(batch.frames), last=last)
                batch.add(stretch.frames)
                batch.corrupt += stretch.corrupt
                at += stretch.consumed
                if not stretch.consumed:
                    if at + stretch.wanted > size and not ended:
                        break
                    wanted = max(stretch.wanted, len(block) + HEADER)
                else:
                    wanted = _CHUNK
        finally:
            os.close(descriptor)
        batch.cursor[name] = at
        if ended and at >= size:
            batch.finished.append(name)

    def settled(self, cursor: dict[str, int], finished: Sequence[str]) -> None:
        """Remember how far each segment was read, then remove those that are done."""
        remaining = {name: at for name, at in cursor.items() if name not in finished and (self.folder / name).exists()}
        self._write_cursor({**remaining, **{name: cursor[name] for name in finished}})
        for name in finished:
            (self.folder / name).unlink(missing_ok=True)
        if finished:
            total(self.folder, "main", fold=True)

    def counters(self) -> Mapping[str, int]:
        """Sum of the counters of all writing processes, living and dead."""
        return self.histogram("main")

    def histogram(self, kind: Kind) -> Mapping[str, int]:
        """Sum of one kind of counters: `mirrored` and `control` hold durations by bin (`mirror.overhead`)."""
        return total(self.folder, kind) if self.folder.is_dir() else {}

    def close(self) -> None:
        """Let another reader take over."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _alone(self) -> bool:
        if self._lock is None:
            self._lock = sole(self.folder / "reader.lock")
        return self._lock is not None

    def _write_cursor(self, cursor: dict[str, int]) -> None:
        private_folder(self.folder)
        partial = self.folder / "cursor.partial"
        with partial.open("w", encoding="utf-8") as file:
            json.dump(cursor, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / "cursor.json")
        with contextlib.suppress(OSError, AttributeError):  # a folder can't be opened everywhere
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _read_cursor(folder: Path) -> dict[str, int]:
    """How far each segment was read; a damaged file begins anew: frames come again, and the store knows them."""
    try:
        return json.loads((folder / "cursor.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return {}


def _pread(descriptor: int, size: int, at: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, at)
    os.lseek(descriptor, at, os.SEEK_SET)  # Windows; the descriptor is ours alone
    return os.read(descriptor, size)


def wipe_settled(folder: Path) -> int:
    """Overwrite with zeros what was settled in the segments of a spool. Returns how many bytes, 0 where none are left.

    Safe beside writers and a reader. A segment that can't be written stays as it is.
    """
    wiped = 0
    with contextlib.suppress(OSError):  # what can't be read was not settled by this user
        for name, settled in _read_cursor(folder).items():
            with contextlib.suppress(OSError):  # removed meanwhile
                wiped += _wipe(folder / name, settled)
    return wiped


def _wipe(segment: Path, settled: int) -> int:
    descriptor = os.open(segment, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        settled = min(settled, os.fstat(descriptor).st_size)
        at = 0
        while at < settled:
            os.lseek(descriptor, at, os.SEEK_SET)
            at += os.write(descriptor, _ZEROS[: settled - at])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return settled
