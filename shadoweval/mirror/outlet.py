"""Where a mirror's frames and counts go; opened at the first call, not at import."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from shadoweval.capture.interception import installed
from shadoweval.counters import Counters
from shadoweval.mirror.overhead import BINS
from shadoweval.mirror.shield import Shield
from shadoweval.protocols import Ledger, Transport

__all__ = ["Outlet"]

_RETRY: Final = 1.0
_PATIENCE: Final = 0.05
_SLOW: Final = 0.05
_REST: Final = 20.0


_living: Final[weakref.WeakSet[Any]] = weakref.WeakSet()


class MemoryLedger:
    """Counters in memory, for a transport that keeps none; or those that were given."""

    def __init__(self, main: Counters | None = None) -> None:
        self.main = Counters() if main is None else main
        names = [str(i) for i in range(BINS)]
        self.mirrored, self.control = Counters(names=names), Counters(names=names)

        self.renew()
        _living.add(self)
        self._successor: Ledger | None = None

    def renew(self) -> None:
        """A lock that nobody holds."""
        self._lock = threading.RLock()  # a signal handler may call something mirrored while its thread counts

    def count(self, reason: str) -> None:
        """One eligible call, and what became of it."""
        with self._lock:
            successor = self._successor
            if successor is None:
                self.main.add(reason)
                self.main.add("eligible")
        if successor is not None:
            successor.count(reason)

    def move(self, successor: Ledger) -> None:
        """Counts so far, and those of calls that are under way now, belong to `successor`."""
        with self._lock:
            for name, count in self.main.snapshot().items():
                successor.main.add(name, count)
            self._successor = successor


class Outlet:
    """A transport, opened when it is first needed, and the counters beside it.

    Args:
        experiment: Name for the log.
        transport: It, or what makes it without arguments.
        counters: Where calls are counted; by default the transport's own (`ledger.main`).
        spool: Gives the folder of its frames, in the one that opening it would make; None: nobody knows.
    """

    def __init__(
        self,
        experiment: str,
        transport: Transport | Callable[[], Transport],
        counters: Counters | None,
        *,
        spool: Callable[[], Path] | None = None,
    ) -> None:
        self._experiment = experiment
        self.definition = ""
        """Of the experiment, as a digest; empty: nobody gave one."""
        self._transport: Transport | None = None
        self._factory = cast("Callable[[], Transport] | None", transport)
        self._spool = spool
        self._given = counters is not None
        self.renew()
        _living.add(self)
        self._retry_at = 0.0
        self.opened = False
        self.drafts = False
        """Whether its readers finish drafts."""
        self.offer: Callable[[bytes], str | None] = self._unopened
        """Hands a frame over; the reason where it is lost."""
        self.sites: weakref.WeakSet[Any] = weakref.WeakSet()
        """Where its calls begin, as long as anybody has these."""
        self._own = MemoryLedger(counters)
        self.ledger: Ledger = self._own
        """The transport's own counters, once it is open, where it has some and none were given."""
        if hasattr(transport, "offer"):
            self._adopt(cast("Transport", transport))

    def renew(self) -> None:
        """A lock that nobody holds."""
        self._lock = threading.Lock()

    def open(self) -> None:
        """Open the transport, at most once a second where it fails; wait for another thread that does, but not long."""
        if time.monotonic() < self._retry_at:
            return
        if not self._lock.acquire(timeout=_PATIENCE):
            self._retry_at = time.monotonic() + _RETRY
            return
        try:
            factory = self._factory
            if factory is None or time.monotonic() < self._retry_at:
                return
            # Tells the fault; the calls that it costs are counted one by one, as `transport_error`.
            with Shield(self._experiment, MemoryLedger(), "offer"):
                self._adopt(factory())
            if not self.opened:
                self._retry_at = time.monotonic() + _RETRY
        finally:
            self._lock.release()

    def open_early(self) -> None:
        """Before a fork: open what each child would open, in a folder that is there and this user's.

        A server's parent may be root, and its children somebody else: what it made they could not enter.

        Raises:
            OSError: there is no such folder.
        """
        spool = self._spool
        if not self.opened and spool is not None and spool().parent.stat().st_uid == os.geteuid():
            self.open()

    def _adopt(self, transport: Transport) -> None:
        """Use it; counts made before it could be opened go into its ledger."""
        ledger = transport.ledger
        if ledger is not None and not self._given:
            self._own.move(ledger)
            self.ledger = ledger
        self._factory = self._spool = None  # they may hold a definition, and whoever counts holds the outlet
        self.drafts = transport.drafts
        self.offer = transport.offer if ledger is not None else self._patient(transport.offer)
        self._transport, self.opened = transport, True

    def _patient(self, offer: Callable[[bytes], str | None]) -> Callable[[bytes], str | None]:
        """Somebody else's `offer`: one that takes long is left alone for twenty times as long."""
        resume_at = 0.0

        def offered(frame: bytes) -> str | None:
            nonlocal resume_at
            began = time.monotonic()
            if began < resume_at:
                return "transport_error"
            try:
                return offer(frame)
            finally:
                ended = time.monotonic()
                if ended - began > _SLOW:
                    resume_at = ended + _REST * (ended - began)

        return offered

    def _unopened(self, _frame: bytes) -> str | None:
        return "transport_error"

    def counts(self) -> dict[str, int]:
        """What became of calls: all of this process's, or of this outlet's where the transport keeps no counters."""
        return self.ledger.main.snapshot()

    def close(self) -> None:
        """Close the transport."""
        if self._transport is not None:
            self._transport.close()


def _before_fork() -> None:
    """What each forked child would do at its first call its parent does once: a child pays for each page it touches.

    Nothing may be imported here: a module that asks for hooks of forks would have them called in the middle of this
    one. Not in a candidate's process: nothing is mirrored there, and what a guard would refuse is not to be tried.
    """
    if installed.interceptor is not None:
        return
    for outlet in list(_living):
        if isinstance(outlet, Outlet) and outlet.sites:
            with contextlib.suppress(Exception):  # the child's call meets it, and tells
                outlet.open_early()


def _after_fork() -> None:
    for one in list(_living):  # a thread that is not in this process may have held its lock
        one.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork)
