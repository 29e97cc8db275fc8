"""Who works on an experiment: this worker's signs of life in the store, and which others are gone.

A worker holds leases under a random name, since containers on many hosts have the same host name and process number. It
signs every few seconds, from a thread, whatever its loop is at. Another worker is gone for those who share its kernel
and see that its process is; and for all others after a minute in which they read the store all the time and its sign
stayed the same. No clocks are compared, and an outage of the store makes nobody look dead.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from shadoweval.clock import Seconds
from shadoweval.errors import StoreError
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Sign, Store, Task
from shadoweval.records import INCUMBENT
from shadoweval.worker.heartbeat import is_alive

__all__ = ["Ownership", "living"]

log: Final = logger(__name__)

_EVERY: Final = 5.0
_SILENT: Final = 60.0
_GAP: Final = 15.0
"""Who has not read the store for so long begins to watch anew."""


class Ownership:
    """This worker among all of its experiment's.

    Raises, all methods: StoreError, the store can't be used now.
    """

    def __init__(self, experiment: Experiment, *, store: Store, seconds: Seconds = time.monotonic) -> None:
        self.name: Final = secrets.token_hex(8)
        self._experiment, self._store, self._seconds = experiment.name, store, seconds
        self._arms = [*experiment.candidates, INCUMBENT]
        self._leftovers = False
        """Whether to look for tasks of arms that this definition lacks."""
        self._place, self._definition = place_of(os.getpid()), experiment.definition
        self._watched: dict[str, tuple[datetime, float]] = {}
        """By owner its last sign, and since when it is the last."""
        self._looked = -float("inf")
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def due(self) -> bool:
        """Whether it is time to look for those who are gone."""
        return self._seconds() - self._looked >= _EVERY

    def reclaim(self, *, lost: bool = False) -> None:
        """Take over what workers that are gone had leased; `lost`: and what this one never got to see of its own."""
        for owner in [*self._gone(), *([self.name] if lost else ())]:
            count = self._store.reopen(self._experiment, owner)
            if count:
                log.info("took leases over", extra={"owner": owner, "tasks": count})
        if lost or self._thread is None:
            self.sign()

    def sign(self) -> None:
        """Give a sign of life; from the first one on a thread gives them."""
        self._store.sign(self._experiment, self.name, place=self._place, definition=self._definition)
        if self._thread is None:
            self._thread = threading.Thread(target=self._sign_on, name="shadow-signs", daemon=True)
            self._thread.start()

    def _sign_on(self) -> None:
        while not self._ending.wait(_EVERY):
            with contextlib.suppress(StoreError, OSError):  # away; the worker's loop says so
                self._store.sign(self._experiment, self.name, place=self._place, definition=self._definition)

    def fall_silent(self) -> None:
        """Give no more signs."""
        self._ending.set()

    def end(self, *, signed_off: bool) -> None:
        """Give no more signs; `signed_off`: nothing is leased any more."""
        self.fall_silent()
        if self._thread is not None:
            self._thread.join(_EVERY)
            if signed_off:
                self._store.sign_off(self._experiment, self.name)

    def _gone(self) -> Collection[str]:
        """Owners whose leases can be opened again."""
        now, signs = self._seconds(), self._others()
        watched = self._watched if now - self._looked < _GAP else {}
        self._looked, self._watched, self._leftovers = now, {}, True
        for each in signs:
            before = watched.get(each.owner)
            since = before[1] if before is not None and before[0] == each.seen_at else now
            self._watched[each.owner] = each.seen_at, since
        return [each.owner for each in signs if is_gone(each.place) or now - self._watched[each.owner][1] >= _SILENT]

    def lease(self, room: int, *, seconds: float) -> list[Task]:
        """So many tasks at most, of the arms that are known; of others where no worker is left that knows them."""
        lease = partial(self._store.lease, self._experiment, limit=room, seconds=seconds, owner=self.name)
        tasks = list(lease(arms=self._arms))
        if not tasks and self._leftovers:
            tasks = list(lease()) if self._alone() else []
            self._leftovers = bool(tasks)
        return tasks

    def _alone(self) -> bool:
        """Whether no other worker lives that knows the experiment otherwise."""
        return all(each.definition == self._definition for each in living(self._others()))

    def _others(self) -> Sequence[Sign]:
        return [each for each in self._store.signs(self._experiment) if each.owner != self.name]


def living(signs: Sequence[Sign]) -> Sequence[Sign]:
    """Those of workers that may be alive."""
    return [each for each in signs if each.age < timedelta(seconds=_SILENT) and not is_gone(each.place)]


def place_of(process: int) -> str:
    """The process among all that share its kernel: boot, namespace of process numbers, number and begin."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no Linux: as far as the host's name goes
        boot, numbers = socket.gethostname(), ""
    return f"{boot} {numbers} {process} {_began(process)}"


def is_gone(place: str) -> bool:
    """Whether a process is certainly not there any more; False where this one can't know."""
    boot, _, rest = place.partition(" ")
    numbers, _, rest = rest.partition(" ")
    process, _, began = rest.partition(" ")
    here = place_of(os.getpid()).split(" ")
    if [boot, numbers] != here[:2] or not process.isdigit():
        return False
    return not is_alive(int(process)) or _began(int(process)) != began


def _began(process: int) -> str:
    """When it began, in the kernel's ticks; empty where nothing tells. Numbers are given out again."""
    try:
        return (
            Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        )
    except (OSError, IndexError):
        return ""
