"""The quick way out of the request path: a copy into shared memory, and a process beside that does the rest.

`RingTransport.offer` is a copy of the frame and one store. Until the collector has shown that it lives, and whenever it
shows no sign of life for two seconds, frames are written into the spool directly; so nothing depends on it but speed.
The ring of one that died is its successor's, which has it from its start: two seconds for that one, too.
A collector that waits for its disk is waited for: what has no room in the ring is counted, no caller meets that disk.
One that somebody stopped is replaced. Calls are counted where the frames go (`transport.ledger`).
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Final

from shadoweval.transport.ring import RING_BYTES, CountCopies, Ring
from shadoweval.transport.segments import SEGMENT_BYTES
from shadoweval.transport.spool import CAP_BYTES, SpoolTransport

__all__ = ["RingTransport"]

_SILENCE: Final = 2_000_000_000
_RESTART: Final = 5_000_000_000
_RARELY: Final = 600_000_000_000
_AT_ONCE: Final = 3
"""Collectors that are started without a pause, one after another, before one has shown that it lives."""
_EVERY: Final = 64
_DESCRIPTOR: Final = 3
_LEAVE: Final = 1.0
_PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from shadoweval.transport.collector import main; main()"


class RingTransport:
    """Hands frames to a collector process through shared memory (Linux).

    `ring_bytes` is what a burst may have before the collector caught up. A new segment begins at `segment_bytes`; at
    `cap_bytes` of the spool frames are refused as `full`.

    Raises:
        OSError, AttributeError: there are no sealed memfds on this system.
    """

    drafts = True

    def __init__(
        self,
        folder: Path,
        *,
        ring_bytes: int = RING_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        cap_bytes: int = CAP_BYTES,
    ) -> None:
        self.spool = SpoolTransport(folder, segment_bytes=segment_bytes, cap_bytes=cap_bytes)
        self.folder, self.ledger = self.spool.folder, self.spool.ledger
        self._ring_bytes, self._sizes = ring_bytes, (segment_bytes, cap_bytes)
        self.collector: int | None = None
        self._begin(Ring.create(ring_bytes))
        _open.add(self)

    def _begin(self, ring: Ring | None) -> None:
        self._lock = threading.RLock()
        self._busy = False
        self._alive = False
        self._heir_until = 0
        self._count = 0
        self._start_at = time.monotonic_ns()
        self._patience, self._at_once = _RESTART, _AT_ONCE
        self._take(ring)

    def _take(self, ring: Ring | None) -> None:
        self._ring = ring
        if ring is not None:
            self.ledger.share(ring.page())

    @property
    def ring(self) -> bool:
        """Whether frames go through the ring now, not directly into the spool."""
        return self._alive

    def offer(self, frame: bytes) -> str | None:
        """Hand over one frame: None, or `full` or `transport_error`."""
        with self._lock:
            if self._busy:  # a generator collected, or a signal handled, in the middle of another offer
                return "transport_error"
            self._busy = True
            try:
                self._count += 1
                if not self._alive or self._count >= _EVERY:
                    self._look()
                ring = self._ring
                if self._alive and ring is not None and len(frame) < ring.size >> 2:
                    return None if ring.put(frame) else "full"
            finally:
                self._busy = False
        return self.spool.offer(frame)

    def _look(self) -> None:
        """See whether the collector lives; start one where none does."""
        self._count = 0
        ring, now = self._ring, time.monotonic_ns()
        if ring is None:
            with contextlib.suppress(OSError):
                ring = Ring.create(self._ring_bytes)
                self._take(ring)
        if ring is None:
            self.ledger.tend()
            return
        orphaned = self._bury(ring, now)
        silent = now - ring.beat >= _SILENCE
        stalls = silent and self.collector is not None and self._stalls(self.collector)
        shown = ring.beat > 0 and (not silent or stalls)
        self._alive = shown or now < self._heir_until
        if not stalls:  # looking for its files may wait as well
            self.ledger.tend()
        if shown:
            self._patience, self._at_once = _RESTART, _AT_ONCE
        if self.collector is None and now >= self._start_at and ring.intact:
            self.ledger.open()
            self._name_files(ring)
            self.collector = self._start(ring)
            self._at_once -= 1
            self._start_at = now
            if self.collector is None or self._at_once <= 0:
                self._start_at += self._patience
                self._patience = min(2 * self._patience, _RARELY)
            if self.collector is not None and orphaned:
                self._heir_until, self._alive = now + _SILENCE, True
        self._name_files(ring)
        self.ledger.divert(into_memory=self._alive)

    def _name_files(self, ring: Ring) -> None:
        """Tell the collector where counts go; elsewhere when the folder was removed."""
        if ring.stem != self.ledger.stem:
            ring.stem = self.ledger.stem

    def _bury(self, ring: Ring, now: int) -> bool:
        """A collector that is gone shows no sign of life; the first few are followed by another at once.

        True: one that had shown that it lives is gone.
        """
        if self.collector is None or not self._died(self.collector):
            return False
        lived = ring.beat > 0
        self.collector, ring.beat, self._heir_until = None, 0, 0
        if self._at_once > 0:
            self._start_at = now
        return lived

    def _died(self, collector: int) -> bool:
        """Whether it is gone. While it is not, no other is started: two would write the same frames."""
        try:
            return os.waitpid(collector, os.WNOHANG)[0] != 0
        except ChildProcessError:  # the application reaped it, or ignores SIGCHLD
            pass
        try:
            os.kill(collector, 0)
        except OSError:
            return True
        return False

    def _stalls(self, collector: int) -> bool:
        """Whether it waits for its disk. A caller who wrote to that disk would wait too: let the ring fill instead.

        One that was stopped (SIGSTOP) would never go on: it is ended, and the next one takes what is in the ring.
        """
        try:
            state = Path(f"/proc/{collector}/stat").read_bytes().rpartition(b")")[2].split()[0]
            if state == b"T":
                os.kill(collector, signal.SIGKILL)
        except (OSError, IndexError):
            return False
        return state == b"D"

    def _start(self, ring: Ring) -> int | None:
        here = str(Path(__file__).parent.parent.parent)
        path = [here, *(str(part) for part in sys.path)]
        sizes = [str(size) for size in self._sizes]
        options = ["-I", "-S", "-c", _PROGRAM.format(path=path)]
        command = [sys.executable, *options, str(_DESCRIPTOR), str(self.folder), str(os.getpid()), *sizes]
        nothing = os.devnull
        # The files' locks are handed down: nobody takes the application's files for a dead one's before this one has
        # opened them, should the application be killed now.
        locks = [lock.descriptor for lock in self.ledger.locks if lock.intact]
        free = max((ring.descriptor, _DESCRIPTOR, *locks)) + 1
        try:
            return os.posix_spawn(
                sys.executable,
                command,
                {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                file_actions=[
                    *((os.POSIX_SPAWN_DUP2, descriptor, free + n) for n, descriptor in enumerate(locks)),
                    (os.POSIX_SPAWN_DUP2, ring.descriptor, _DESCRIPTOR),
                    (os.POSIX_SPAWN_OPEN, 0, nothing, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, nothing, os.O_WRONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 2, nothing, os.O_WRONLY, 0),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT],
            )
        except (OSError, NotImplementedError, TypeError):
            return None

    def close(self) -> None:
        """Let the collector finish and go, or do its work where it is gone. A later offer begins anew."""
        with self._lock:
            ring, self._ring = self._ring, None
            self._alive = False
            if ring is not None:
                self.ledger.divert(into_memory=False)
                ring.finish()
                if self.gone:
                    self._drain(ring)
                self.ledger.retire()
                ring.close()
            if self.gone:
                self.collector = None
        self.spool.close()

    @property
    def gone(self) -> bool:
        """Whether there is no collector now."""
        return self.collector is None or self._died(self.collector)

    def leave(self) -> None:
        """At the end of the process: close it where there is no collector to go on with what was handed over."""
        if self.gone and self._lock.acquire(timeout=_LEAVE):  # a thread that will never go on may hold it
            try:
                self.close()
            finally:
                self._lock.release()

    def _drain(self, ring: Ring) -> None:
        """What a collector left behind: frames that were handed over, and counts that it did not copy."""
        ring.again()
        for frame in ring.take(ring.size):
            if self.spool.offer(bytes(frame)) is not None:
                break
        copies = CountCopies(ring, self.folder)
        copies.update()
        copies.close()

    def forked(self) -> None:
        """In a child process: leave the parent's ring and collector to it."""
        ring = self._ring
        self._begin(None)
        self.collector = None
        if ring is not None:
            ring.close()


_open: Final[weakref.WeakSet[RingTransport]] = weakref.WeakSet()


def _after_fork() -> None:
    for transport in list(_open):
        transport.forked()


def _at_exit() -> None:
    """A collector that lives goes on by itself; what a dead one left is lost when the application's memory is."""
    for transport in list(_open):
        with contextlib.suppress(Exception):
            transport.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
