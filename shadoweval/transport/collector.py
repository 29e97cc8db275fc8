"""The process beside a home's applications that moves frames from their rings into the spools.

It is started by whichever process first misses it, at low priority and in a session of its own, and serves all
processes and experiments of the home. It ends when none of them is left: at once, or half a minute after the last
forked child, since where jobs run in children the next one comes soon. Killed at any moment it leaves everything to its
successor (`transport.sweep`). Every 100 ms what was written is made to survive a power loss as well.

    python -c '...; main()' SPOOLS
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from shadoweval.priority import LEVEL, session_level, step_back
from shadoweval.transport.memory import fresh_memory, readers_lock, release, sweep_away
from shadoweval.transport.sweep import Sweep

__all__ = ["main"]

_SHORT: Final = 0.005
_LONG: Final = 0.025
_IDLE: Final = 0.2
"""Seconds between looks where nothing was moved for long: many homes may have a process beside them."""
_AWAKE: Final = 5.0
"""Seconds for which nothing was moved until then."""
_JOBS: Final = 30.0
_ORPHAN_PATIENCE: Final = 60.0
"""Seconds for which it tries to write into folders that it can't write, when all applications are gone."""
_LOCK: Final = 1.0


class Collector:
    """Serves one home until nobody needs it."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self._hurries = False
        self._jobs = False
        self._alone_since = 0.0

    def _keep_up(self) -> None:
        """Ask for as much of the processor as the applications have while a quarter of a ring waits."""
        rings = [ring for process in self._sweep.processes.values() for ring in process.rings]
        hurry = any(ring.waiting > ring.size >> 2 for ring in rings)
        if hurry != self._hurries and session_level(0 if hurry else LEVEL):
            self._hurries = hurry

    def run(self) -> None:
        """Work until all applications are gone, or have closed what they had, and nothing is left of them."""
        pause, moved_at = _SHORT, time.monotonic()
        while not self._done():
            self._keep_up()
            if self._sweep.look():
                pause, moved_at = _SHORT, time.monotonic()
                continue
            pause = min(pause * 1.3, _LONG if time.monotonic() - moved_at < _AWAKE else _IDLE)
            time.sleep(pause)

    def _done(self) -> bool:
        processes = list(self._sweep.processes.values())
        if processes:
            self._jobs = any(process.pages is not None and process.pages.forked for process in processes)
        now = time.monotonic()
        if any(not process.ended for process in processes):
            self._alone_since = 0.0
            return False
        self._alone_since = self._alone_since or now
        if self._sweep.idle:
            return now - self._alone_since >= (_JOBS if self._jobs else 0.0)
        return now - self._alone_since > _ORPHAN_PATIENCE


def _humble() -> None:
    """The application goes first: lower priority, no wake-up bonus. And its limit of descriptors is not this one's."""
    step_back()
    with contextlib.suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a collector with the command line's arguments."""
    (root,) = map(Path, sys.argv[1:] if arguments is None else arguments)
    _humble()
    folder = fresh_memory(root)
    lock, until = readers_lock(folder), time.monotonic() + _LOCK
    while lock is None and time.monotonic() < until:
        time.sleep(_SHORT)
        lock = readers_lock(folder)
    with contextlib.suppress(OSError):
        (folder / "starting").unlink()
    if lock is None:  # there is one
        return
    sweep = Sweep(root, folder, reader=os.getpid())
    try:
        sweep.look()
        Collector(sweep).run()
        sweep_away(folder)
    finally:
        sweep.close()
        release(lock)
