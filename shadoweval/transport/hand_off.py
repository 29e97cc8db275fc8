"""The quick way out of the request path: a copy into shared memory, and a process beside that does the rest.

`RingTransport.offer` is a copy of the frame and one store. The memory outlives the process, so it does not matter who
reads it: the home's collector, its successor, or whoever looks into that home later (`transport.sweep`). Speed alone
depends on a collector: when none has given a sign of life for two seconds, frames are written into the spool directly.
A collector that waits for its disk is waited for: what has no room in the ring is counted, no caller meets that disk.
One that somebody stopped is replaced. One collector is beside a home, whatever the number of its processes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from shadoweval.counters import Counters
from shadoweval.transport.ledger import Ledger
from shadoweval.transport.ring import RING_BYTES
from shadoweval.transport.spool import SpoolTransport
from shadoweval.transport.way import way_of

__all__ = ["RingTransport"]

_EVERY: Final = 64
_RETRY: Final = 1.0
_TAKEN: Final = memoryview(b"\0")
"""Frames are not refused."""


class _SharedLedger(Ledger):
    """Counters in a page of this process's shared memory; in files where there is no room for one."""

    def __init__(self, transport: RingTransport) -> None:
        self._transport = transport
        super().__init__(transport.folder)

    def _new_lock(self) -> Any:
        return self._transport.way.lock  # counting may need it in the middle of an offer, and the other way round

    def _opened(self) -> Sequence[Counters]:
        try:
            return self._transport.page()
        except OSError:
            return super()._opened()

    def leave(self, *, lost: bool) -> None:
        """Files stay where they are."""
        if not self.stem:
            super().leave(lost=lost)


class RingTransport:
    """Hands an experiment's frames to the home's collector through shared memory (Linux).

    Its home is the folder of its folder; all transports of a process and home share one ring, of `ring_bytes` at most
    as the first one says.

    Raises:
        OSError: there is no shared memory here.
    """

    drafts = True

    def __init__(self, folder: Path, *, ring_bytes: int = RING_BYTES) -> None:
        self.folder = Path(folder).absolute()
        self.way = way_of(self.folder.parent, ring_bytes=ring_bytes)
        self.ledger = _SharedLedger(self)
        """Counters of this process."""
        self.spool = SpoolTransport(self.folder, ledger=self.ledger)
        self.number = -1
        """Its experiment's in the pages, in the upper half of a word; -1: not yet."""
        self._refused = _TAKEN
        self._join_at = 0.0
        self.way.users.add(self)

    def page(self) -> Sequence[Counters]:
        """Counters in shared memory; frames can be told from others' from now on.

        Raises:
            OSError: there are none now.
        """
        number, counters, self._refused = self.way.page(self.folder.name)
        self.number = number << 32
        return counters

    def leave_page(self, *, lost: bool) -> None:
        """What was counted so far is kept by others, or lost to them."""
        self.number = -1
        self._refused = _TAKEN
        self.ledger.leave(lost=lost)

    @property
    def ring(self) -> bool:
        """Whether frames go through the ring now, not directly into the spool."""
        return self.way.alive

    @property
    def collector(self) -> int | None:
        """Process id of the collector that reads the ring, as far as that has shown itself."""
        ring = self.way.ring
        return ring.reader or None if ring is not None else None

    def offer(self, frame: bytes) -> str | None:
        """Hand over one frame: None, or `full` or `transport_error`."""
        way = self.way
        with way.lock:
            if way.busy:  # a generator collected, or a signal handled, in the middle of another offer
                return "transport_error"
            way.busy = True
            try:
                way.count += 1
                if self.number < 0:
                    self._join()
                if not way.alive or way.count >= _EVERY:
                    way.look()
                ring = way.ring
                if way.alive and ring is not None and self.number >= 0:
                    if self._refused[0]:
                        return "full"
                    if len(frame) < ring.size >> 2 and ring.put(frame, self.number):
                        return None
                    larger = way.roomier(frame)
                    if larger is not None and larger.put(frame, self.number):
                        return None
                    if len(frame) < ring.size >> 2 and ring.beat:  # before anybody has read it the spool has room
                        return "full"
            finally:
                way.busy = False
        return self.spool.offer(frame)

    def _join(self) -> None:
        self.ledger.open()
        now = time.monotonic()
        if self.number < 0 and self.ledger.opened and now >= self._join_at:
            self._join_at = now + _RETRY
            with contextlib.suppress(OSError):  # it was closed while others of this home were not, or had no room
                number, _, self._refused = self.way.page(self.folder.name)
                self.number = number << 32

    def close(self) -> None:
        """Let go of what this process has, unless other experiments of the home use it. A later offer begins anew."""
        with self.way.lock:
            self.number, self._join_at = -1, 0.0
            if all(user.number < 0 for user in list(self.way.users)):
                self.way.close()
        self.spool.close()

    def forked(self) -> None:
        """In a child process: the parent's counts are the parent's."""
        self.number = -1
        self._refused = _TAKEN
        self.ledger.forked()
