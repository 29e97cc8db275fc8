"""One run in a child process, and what became of it, as the pool sees it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from shadoweval.candidate.forkserver.wire import Died, Note, Report
from shadoweval.candidate.sandbox import LONGEST
from shadoweval.records import FailureKind, Observation, Refusal

__all__ = ["Ended", "KillReason", "RemoteRun", "ended_by_itself", "ended_by_us"]

KillReason: TypeAlias = tuple[FailureKind, str, int | None]
"""Kind of failure, in words, and the number of the run that is the reason; None: the whole child; 0: us."""


_TICK: Final = 0.01
"""Seconds by which two clocks of one machine may differ over a run."""
_DELAY: Final = 1.0
"""Seconds by which a busy machine may delay a query or a report."""
_FULL: Final = 0.9
"""Share of its memory cap above which a death by signal is taken for lack of memory."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A run that brought no report, since its child is gone."""

    kind: FailureKind
    message: str
    guilty: bool
    """Whether this run is known to be the reason; if not, it may be run again, and in the end the shadow failed."""
    peak_memory: int | None = None

    def unless_killed(self, why: str) -> Ended:
        """This end or, where the experiment is killed by now, a kill: the pool may hear of it later than of the end."""
        return Ended(kind="killed", message=why, guilty=True, peak_memory=self.peak_memory) if why else self


class RemoteRun:
    """One run in a child, which is killed when the run has lasted `seconds` and `grace`.

    Args:
        cold: Why the child is new, where no run has ended in it yet; else empty.
    """

    __slots__ = (
        "arriving",
        "began",
        "cold",
        "deadline",
        "ended",
        "ending",
        "live_writes",
        "number",
        "refusals",
        "seconds",
        "sent",
    )

    def __init__(self, number: int, *, seconds: float, grace: float, cold: str) -> None:
        loop = asyncio.get_running_loop()
        self.number, self.seconds, self.cold = number, seconds, cold
        self.ending: asyncio.Future[Report | Ended] = loop.create_future()
        self.began = loop.time()
        self.deadline = self.began + seconds + grace
        self.ended = self.began
        """When its report came, or it was lost."""
        self.sent = self.arriving = False
        self.refusals: list[Refusal] = []
        self.live_writes = 0

    def untimed(self, seen: Observation) -> str:
        """Why the seconds that it measured itself can't be true; empty: they can. Candidate code may have written them.

        Its process begins later than the pool sent the query, and ends before the pool has read the report: it can't
        have taken longer. Much less is believed only where a worker that was busy, or had no processor, explains it.
        """
        elapsed = self.ended - self.began
        inside = (seen.duration, seen.first_chunk or 0.0, *seen.waited)
        if not all(0.0 <= seconds <= elapsed + _TICK for seconds in inside) or max(seen.waited) > seen.duration + _TICK:
            return f"it says {seen.duration:.3g} s, by the pool's clock {elapsed:.3g} s passed"
        if not self.cold and seen.duration < elapsed / 2 - _DELAY:
            return f"it says {seen.duration:.3g} s, by the pool's clock {elapsed:.3g} s passed"
        return ""

    def take(self, note: Note, *, grace: float) -> None:
        """What its process says of it while it lasts."""
        self.live_writes += max(note.live_writes, 0)
        if note.seconds > 0:
            until = asyncio.get_running_loop().time() + note.seconds
            self.deadline = max(self.deadline, min(until, self.began + LONGEST * self.seconds) + grace)


def ended_by_us(run: RemoteRun, reason: KillReason, *, alone: bool, died: Died | None) -> Ended:
    """The end of a run whose child was killed by the pool. `alone`: no other run was in it."""
    kind, message, number = reason
    guilty = kind == "killed" or number == run.number or (number is None and alone)
    return Ended(kind=kind, message=message, guilty=guilty, peak_memory=died and died.peak_memory)


def ended_by_itself(
    run: RemoteRun, died: Died, *, alone: bool, memory: int, full: Callable[[], bool], killed_itself: bool
) -> Ended:
    """The end of a run whose child died. `full`: says whether the kernel killed in its memory group meanwhile."""
    kind, message, signal_number = _cause_of(died, memory)
    if kind == "crash" and signal_number == signal.SIGKILL and full():
        kind, message = "out_of_memory", "the kernel killed its process, since its memory group was full"
    # A SIGKILL that is neither ours, nor its own, nor for memory may be anyone's: the run has another chance.
    outside = kind == "crash" and signal_number == signal.SIGKILL and not killed_itself
    return Ended(kind=kind, message=message, guilty=alone and run.sent and not outside, peak_memory=died.peak_memory)


def _cause_of(died: Died, memory: int) -> tuple[FailureKind, str, int]:
    """Kind of failure, in words, and the signal that it died of, or 0."""
    status = os.waitstatus_to_exitcode(died.status)
    if status >= 0:
        return "crash", f"its process exited with status {status} in mid-run", 0
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    if died.peak_memory > memory * _FULL:
        return "out_of_memory", f"its process died of {name} at {died.peak_memory >> 20:,} MiB", -status
    return "crash", f"its process died of {name}", -status
