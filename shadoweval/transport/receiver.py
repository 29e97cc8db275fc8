"""The reading end of the spool: takes frames while writers write, remembers durably how far it came.

What was taken comes again until its batch is settled, also after the reader's death. One reader at a time: whoever
holds `reader.lock`. Damaged stretches are given out once, as `corrupt`, and skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from shadoweval.capture.wire.drafts import finished
from shadoweval.private import private_folder, replace_private
from shadoweval.transport.frames import HEADER, scan
from shadoweval.transport.ledger import Kind
from shadoweval.transport.locks import held, sole
from shadoweval.transport.sweep import adopt, beats_of
from shadoweval.transport.totals import total

__all__ = ["SpoolReceiver", "read_cursor", "wipe_settled"]

_CHUNK: Final = 4 * 1024 * 1024
_BATCH_BYTES: Final = 16 * 1024 * 1024
"""A batch of more is full, however few frames it has; the last chunk that was read is taken whole."""
_ASIDE: Final = 65_536
_SILENCE: Final = 5_000_000_000
_ZEROS: Final = bytes(256 * 1024)


class SpoolBatch:
    """Frames taken from a spool."""

    def __init__(self, receiver: SpoolReceiver, cursor: dict[str, int]) -> None:
        self._receiver, self.cursor = receiver, cursor
        self.frames: list[bytes] = []
        """In the order of writing, per writing process."""
        self.bytes = 0
        self.corrupt: list[tuple[bytes, str]] = []
        """Damaged stretches with the reason and the place; each at most 64 KiB of what was damaged."""
        self.finished: list[str] = []

    def add(self, payloads: Sequence[bytes]) -> None:
        """Frames, and drafts that become frames here."""
        for payload in payloads:
            try:
                self.frames.append(finished(payload))
                self.bytes += len(payload)
            except Exception as error:  # noqa: BLE001 - one draft that can't be finished must not stop the others
                self.corrupt.append((payload[:_ASIDE], str(error) or type(error).__name__))

    def full(self, limit: int) -> bool:
        """Whether it has as many frames, or bytes, as are handled at once."""
        return len(self.frames) >= limit or self.bytes >= _BATCH_BYTES

    def settle(self) -> None:
        """The frames are stored durably: remember it, and remove segments that are done."""
        self._receiver.settled(self.cursor, self.finished)


class SpoolReceiver:
    """Reads an experiment's spool."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder).absolute()
        self._lock: int | None = None
        self._asked = 0
        """Since when nothing has come, while somebody waits for all; 0: nobody does."""
        self._beats: dict[Path, int] = {}
        self._passed = False
        self._adopted = False
        """Whether the last look for frames took all that waited in memory, since no collector lives."""

    def caught_up(self) -> bool:
        """Whether all that was handed over and counted before this was first asked has come.

        Where a collector lives that is so once it has begun a look, and after it another one; ask again until then. A
        collector that shows no sign of life is not waited for: whoever mirrors replaces it.
        """
        if self._passed:
            self._asked, self._passed = 0, False
            return True
        root, now = self.folder.parent, time.monotonic_ns()
        if not self._asked:
            self._asked, self._beats = now, {}
        looked = False
        beats = {} if self._adopted else beats_of(root)
        for ring, beat in beats.items():
            if beat > self._asked:
                looked |= beat > self._beats.setdefault(ring, beat)
        self._passed = looked or not beats or now - self._asked > _SILENCE
        return False

    def receive(self, limit: int) -> SpoolBatch | None:
        """At most `limit` frames, of about 16 MiB at most; None when there are none, or another reader is at work."""
        self._adopted = adopt(self.folder.parent)
        if not self.folder.is_dir() or not self._alone():
            return None
        batch = SpoolBatch(self, read_cursor(self.folder))
        names = sorted(path.name for path in self.folder.glob("*.seg"))
        for name, later in zip_longest(names, names[1:], fillvalue=""):
            if batch.full(limit):
                break
            # Liveness first: what is read after its writer let go is all there will ever be.
            ended = later.rpartition("-")[0] == name.rpartition("-")[0] or not held(self.folder / name)
            self._read(name, batch, limit=limit, ended=ended)
        if not batch.frames and not batch.corrupt:
            if batch.finished:
                batch.settle()
            return None
        self._asked, self._passed = 0, False
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
            while at < size and not batch.full(limit):
                block = _pread(descriptor, min(wanted, size - at), at)
                last = ended and at + len(block) >= size
                stretch = scan(block, limit=limit - len(batch.frames), last=last, begins=at)
                batch.add(stretch.frames)
                batch.corrupt += [(damage, f"{name}: {why}") for damage, why in stretch.corrupt]
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
        replace_private(self.folder / "cursor.json", json.dumps(cursor).encode())


def read_cursor(folder: Path) -> dict[str, int]:
    """How far each segment was read; a damaged file begins anew: frames come again, and the store knows them."""
    try:
        cursor: dict[str, Any] = dict(json.loads((folder / "cursor.json").read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return {}
    return {name: at for name, at in cursor.items() if isinstance(at, int) and 0 <= at <= _size(folder / name, at)}


def _size(segment: Path, otherwise: int) -> int:
    """Bytes of a segment: a cursor beyond them is damaged, and believed it would pass unread frames for read."""
    try:
        return segment.stat().st_size
    except OSError:  # read and removed
        return otherwise


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
        for name, settled in read_cursor(folder).items():
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
