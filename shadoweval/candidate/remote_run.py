"""One run in a child process, and what became of it, as the pool sees it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final

import msgspec

from shadoweval.candidate.forkserver.wire import Died, Note, Report
from shadoweval.candidate.sandbox import LONGEST
from shadoweval.records import FailureKind, Refusal

__all__ = ["Ended", "RemoteRun", "cause_of"]

_FULL: Final = 0.9
"""Share of its memory cap above which a death by signal is taken for lack of memory."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that brought no report, since its child is gone."""

    kind: FailureKind
    message: str
    guilty: bool
    """Whether this run is known to be the reason; if not, it may be run again, and in the end the shadow failed."""
    peak_memory: int | None = None


class RemoteRun:
    """One run in a child, which is killed when the run has lasted `seconds` and `grace`.

    Args:
        cold: Why the child is new, where no run has ended in it yet; else empty.
    """

    __slots__ = ("began", "cold", "deadline", "ending", "live_writes", "number", "refusals", "seconds", "sent")

    def __init__(self, number: int, *, seconds: float, grace: float, cold: str) -> None:
        loop = asyncio.get_running_loop()
        self.number, self.seconds, self.cold = number, seconds, cold
        self.ending: asyncio.Future[Report | Ended] = loop.create_future()
        self.began = loop.time()
        self.deadline = self.began + seconds + grace
        self.sent = False
        self.refusals: list[Refusal] = []
        self.live_writes = 0

    def take(self, note: Note, *, grace: float) -> None:
        """What its process says of it while it lasts."""
        self.live_writes += max(note.live_writes, 0)
        if note.seconds > 0:
            until = asyncio.get_running_loop().time() + note.seconds
            self.deadline = max(self.deadline, min(until, self.began + LONGEST * self.seconds) + grace)


def cause_of(died: Died, memory: int) -> tuple[FailureKind, str, int]:
    """Kind of failure, in words, and the signal that it died of, or 0."""
    status = os.waitstatus_to_exitcode(died.status)
    if status >= 0:
        return "crash", f"its process exited with status {status} in mid-run", 0
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    if died.peak_memory > memory * _FULL:
        return "out_of_memory", f"its process died of {name} at {died.peak_memory >> 20:,} MiB", -status
    return "crash", f"its process died of {name}", -status
