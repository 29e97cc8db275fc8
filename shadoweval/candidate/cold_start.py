"""How long the first run of a process may take: it may load what later runs have, and it may just hang."""

from __future__ import annotations

import asyncio
from typing import Final

from shadoweval.candidate.remote_run import Ended, RemoteRun
from shadoweval.candidate.sandbox import Limits
from shadoweval.records import Failure

__all__ = ["GIVEN_UP", "ColdStart"]

GIVEN_UP: Final = "the one before was given up:"
"""How the reason for a new process begins that a candidate can mend (`Observation.cold`)."""

_IN_VAIN: Final = 4.0
"""By what the time is divided that a first run took in vain."""


class ColdStart:
    """Learns from an arm's first runs what the next one's deadline should be.

    Nobody can tell a run that loads from one that hangs while it lasts, so the first one has
    `Limits.first_seconds`. A quick one proves nothing: it may have asked for what needs no model. Each one that took
    the extra time in vain quarters it: either it ended without an answer, or the next run of its process, which had
    nothing to load, was overdue as well.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loaded = 0.0
        """Seconds of the longest first run whose process then answered within the ordinary deadline: it loaded."""
        self._doubt = 1.0

    def seconds(self) -> float:
        """Deadline of a process's first run."""
        longest = self._limits.first_seconds
        return max(self._limits.seconds, longest / self._doubt, min(self._loaded * 2, longest))

    def ended(self, run: RemoteRun, failure: Failure | Ended | None, *, first: float) -> float:
        """Learn from a run. `first`: seconds of its process's first run, 0 where the second has ended, too.

        Returns:
            What `first` is then.
        """
        seconds, overdue = asyncio.get_running_loop().time() - run.began, failure is not None
        if failure is not None and failure.kind != "timeout":
            return first
        if run.cold:
            self.first(seconds, overdue=overdue)
            return max(first, seconds)
        if first:
            self.second(first, overdue=overdue)
        return 0.0

    def first(self, seconds: float, *, overdue: bool) -> None:
        """A process's first run took this long."""
        if overdue and seconds > self._limits.seconds:
            self._doubt *= _IN_VAIN

    def second(self, first: float, *, overdue: bool) -> None:
        """The run after a first one that took `first` seconds."""
        if first <= self._limits.seconds:
            return
        if overdue:
            self._doubt *= _IN_VAIN
        else:
            self._loaded, self._doubt = max(self._loaded, first), 1.0
