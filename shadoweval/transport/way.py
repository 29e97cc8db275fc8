"""What a process has in the shared memory of one home, whatever the number of its experiments there."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from shadoweval.counters import Counters
from shadoweval.transport.ledger import KINDS, made
from shadoweval.transport.memory import fresh_memory, watched
from shadoweval.transport.pages import Pages
from shadoweval.transport.ring import RING_BYTES, Ring
from shadoweval.transport.segments import new_writer
from shadoweval.transport.spool import SpoolTransport
from shadoweval.transport.starting import Starter, stalls
from shadoweval.transport.sweep import adopt

__all__ = ["way_of"]

_SILENCE: Final = 2_000_000_000
_LATE: Final = 200_000_000
_LEAVE: Final = 1.0
_FIRST: Final = 512 * 1024
_LEAST: Final = 128 * 1024
_STEP: Final = 4
_RETRY: Final = 1_000_000_000


class User(Protocol):
    """One experiment's part in it."""

    number: int

    def leave_page(self, *, lost: bool) -> None:
        """What was counted so far is kept by others, or lost to them."""

    def forked(self) -> None:
        """In a child process."""


class Way:
    """What one process has in the shared memory of one home: a ring for its frames, a file for its counts.

    Both are made when they are needed. The ring begins small and is followed by a larger one, up to `ring_bytes`.

    Raises:
        OSError: there is no such memory here.
    """

    def __init__(self, root: Path, *, ring_bytes: int = RING_BYTES) -> None:
        self.root, self._most = root, ring_bytes
        self.folder = fresh_memory(root)
        self.users: weakref.WeakSet[User] = weakref.WeakSet()
        self._forked = False
        self._begin()
        _open.add(self)

    def _begin(self) -> None:
        self.lock = threading.RLock()
        self.busy = False
        self.alive = False
        """Whether frames go through the ring now."""
        self.ring: Ring | None = None
        self.pages: Pages | None = None
        self.starter = Starter(self.root, self.folder)
        self.count = 0
        self._name, self._rings = "", 0
        self._grace = 0
        self._grows = True
        self._try_at = 0

    def page(self, name: str) -> tuple[int, Sequence[Counters], memoryview]:
        """An experiment's number in this process, its counters, and a byte that says that its frames are refused.

        Raises:
            OSError: there is no room for them.
        """
        with self.lock:
            if self.pages is None:
                self._name = new_writer()
                try:
                    self.pages = Pages(f"{self.folder}/{self._name}.counts", forked=self._forked)
                except FileNotFoundError:  # somebody removed the folder
                    self.folder = fresh_memory(self.root)
                    self.pages = Pages(f"{self.folder}/{self._name}.counts", forked=self._forked)
            number, memory, at = self.pages.page(name)
            return number, [made(kind, page=(memory, at)) for kind in KINDS], memoryview(memory)[at : at + 1]

    def look(self) -> None:
        """See whether somebody reads the ring; start a collector where nobody does."""
        self.count = 0
        now = time.monotonic_ns()
        if self.pages is not None and not self.pages.intact:
            self.renew(lost=not watched(self.folder))
        ring = self.ring
        if ring is None:
            if self.pages is not None and now >= self._try_at:
                ring = self._follow(min(_FIRST, self._most), now) or self._follow(min(_LEAST, self._most), now)
                self._try_at = now + _RETRY
            if ring is None:
                self.alive = False
                if self.pages is not None:  # somebody has to keep what is counted there
                    self.starter.start(now)
                return
        late = now - ring.beat
        shown = ring.beat > 0 and late < _SILENCE
        if shown and late < _LATE:
            self.starter.forgive()
        elif self.starter.start(now):
            self._grace = now + _SILENCE
        self.alive = shown or now < self._grace or (ring.beat > 0 and stalls(ring.reader))

    def _follow(self, size: int, now: int) -> Ring | None:
        """A ring after the one that there is, and with the same reader."""
        before, ring = self.ring, None
        with contextlib.suppress(OSError):
            self._rings += 1
            ring = Ring.create(self.folder / f"{self._name}.{self._rings:06d}.ring", size)
            self._grace = max(self._grace, now + _SILENCE)
            if before is not None:
                ring.sign(before.reader, before.beat)
                before.finish()
                before.close()
            self.ring = ring
        return ring

    def roomier(self, frame: bytes) -> Ring | None:
        """A larger ring, where there may be one that takes this frame."""
        ring = self.ring
        if ring is None or not self._grows or ring.size >= self._most:
            return None
        size = min(max(_STEP * ring.size, 8 * len(frame)), self._most)
        larger = self._follow(size, time.monotonic_ns()) if len(frame) < size >> 2 else None
        self._grows = larger is not None or len(frame) >= size >> 2
        return larger

    def renew(self, *, lost: bool = False) -> None:
        """Leave what there is to its reader, and begin anew at the next need; `lost`: nobody can find it."""
        with self.lock:
            ring, pages, self.ring, self.pages = self.ring, self.pages, None, None
            self.alive = False
            if ring is not None and pages is not None and lost:
                self._put_aside(ring, pages)
            for user in list(self.users):
                user.leave_page(lost=lost)
            if ring is not None:
                ring.finish()
                ring.close()
            if pages is not None:
                pages.finish()
                pages.release()

    def _put_aside(self, ring: Ring, pages: Pages) -> None:
        """Keep frames of a ring that nobody can find."""
        spools = {number: SpoolTransport(self.root / name) for name, number in pages.numbers.items()}
        for number, frame in ring.take(ring.size):
            spools[number].offer(bytes(frame))
        for spool in spools.values():
            spool.close()

    def __del__(self) -> None:
        """Nobody uses it any more: its descriptors go."""
        with contextlib.suppress(Exception):
            self.renew()

    def close(self) -> None:
        """Let the collector finish, or do its work where there is none."""
        if self.pages is not None:
            self.renew()
            adopt(self.root)

    def leave(self) -> None:
        """At the end of the process: see that somebody takes what is left.

        A collector that lives does. But where this is a container's first process all others end with it.
        """
        if self.pages is None:
            return
        if not watched(self.folder):
            if self.lock.acquire(timeout=_LEAVE):  # a thread that will never go on may hold it
                try:
                    self.close()
                finally:
                    self.lock.release()
        elif os.getpid() == 1:
            path, until = self.folder / f"{self._name}.counts", time.monotonic() + _LEAVE
            if self.lock.acquire(timeout=_LEAVE):
                try:
                    self.renew()
                finally:
                    self.lock.release()
            while path.exists() and time.monotonic() < until:
                time.sleep(0.005)

    def forked(self) -> None:
        """In a child process: leave the parent's memory to it."""
        ring, pages = self.ring, self.pages
        self._forked = True
        self._begin()
        for user in list(self.users):
            user.forked()
        if ring is not None:
            ring.close()
        if pages is not None:
            pages.release()


_ways: Final[weakref.WeakValueDictionary[Path, Way]] = weakref.WeakValueDictionary()
_open: Final[weakref.WeakSet[Way]] = weakref.WeakSet()


def way_of(root: Path, *, ring_bytes: int) -> Way:
    """This process's, for the home whose spools lie in `root`.

    Raises:
        OSError: there is no such memory here.
    """
    way = _ways.get(root)
    return way if way is not None else _ways.setdefault(root, Way(root, ring_bytes=ring_bytes))


def _after_fork() -> None:
    for way in list(_open):
        way.forked()


def _at_exit() -> None:
    for way in list(_open):
        with contextlib.suppress(Exception):
            way.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
