"""The audit of a kill switch: kills by touch, rm, environment or flag file get their line in the trail too.

`KillSwitch.kill` and `resume` add their own lines. Everything else that changes the state is seen by the worker, or by
`shadoweval status`, and becomes a line with who unknown. A kill file that says who made it is given a moment, since
its line follows it.
"""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from shadoweval.clock import Clock, Seconds, utc_now
from shadoweval.traffic.audit import add_missing, audit_entry
from shadoweval.traffic.kill import KillSwitch

__all__ = ["KillAuditor"]

UNKNOWN: Final = "unknown"
_log: Final = logging.getLogger("shadoweval.traffic")
_SETTLED: Final = 0.25
"""Seconds after which a kill file is written and its line is in the audit trail."""


class _Change(NamedTuple):
    since: float
    when: datetime
    why: str | None


class KillAuditor:
    """Polls one switch and adds to the audit trail what is missing there."""

    def __init__(self, switch: KillSwitch, *, clock: Seconds = time.monotonic, now: Clock = utc_now) -> None:
        self._switch, self._clock, self._now = switch, clock, now
        self._killed: bool | None = None
        self._change: _Change | None = None
        self._fault = ""

    def poll(self) -> str | None:
        """What kills the experiment; None: nothing. A change since the last poll gets its line."""
        why = self._switch.reason()
        if (why is not None) is not self._killed:
            self.settle()
            self._killed = why is not None
            self._change = _Change(self._clock(), self._now(), why)
        if self._change is not None and not 0.0 <= self._clock() - self._change.since < _SETTLED:
            self.settle()
        return why

    def settle(self) -> None:
        """Write the line of the last change, unless it is there. Where that fails the next poll tries again."""
        change = self._change
        if change is None:
            return
        try:
            add_missing(self._switch.home, self._entry(change), seen=change.when)
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                _log.warning("A change of the kill switch is not in the audit trail", extra={"why": str(error)})
            return
        self._change = None

    def _entry(self, change: _Change) -> dict[str, Any]:
        new = "running" if change.why is None else "killed"
        recorded = _line_in(self._switch.file) if new == "killed" else None
        return recorded or audit_entry(
            self._switch.experiment,
            old="killed" if new == "running" else "running",
            new=new,
            reason=change.why or "nothing kills it any more",
            who=UNKNOWN,
            when=change.when,
        )


def _line_in(file: Path) -> dict[str, Any] | None:
    """The line that `KillSwitch.kill` left in a kill file; None: somebody else made it, or it is gone."""
    try:
        line: Any = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return line if isinstance(line, dict) and {"who", "when", "new"} <= line.keys() else None
