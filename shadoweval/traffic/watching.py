"""Whoever watches a kill switch writes down what nobody wrote: kills by touch, rm, environment or flag file.

`KillSwitch.kill` and `resume` add their own lines. Everything else that changes the state is seen by the worker, or by
`shadoweval status`, and becomes a line with who unknown. A kill file that says who made it is given a moment, since
its line follows it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from shadoweval.traffic.audit import add_missing, audit_entry
from shadoweval.traffic.kill import KillSwitch

__all__ = ["UNKNOWN", "Witness"]

UNKNOWN: Final = "unknown"
_log: Final = logging.getLogger("shadoweval.traffic")
_SETTLED: Final = 0.25
"""Seconds after which a kill file is written and its line is in the audit trail."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class _Change(NamedTuple):
    since: float
    when: datetime
    why: str | None


class Witness:
    """Looks at one switch, again and again.

    Args:
        switch: The switch.
        clock: Monotonic seconds.
        now: Aware UTC time.
    """

    def __init__(
        self,
        switch: KillSwitch,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._switch, self._clock, self._now = switch, clock, now
        self._killed: bool | None = None
        self._change: _Change | None = None
        self._fault = ""

    def look(self) -> str | None:
        """What kills the experiment; None: nothing. A change since the last look gets its line."""
        why = self._switch.reason()
        if (why is not None) is not self._killed:
            self.settle()
            self._killed = why is not None
            self._change = _Change(self._clock(), self._now(), why)
        if self._change is not None and not 0.0 <= self._clock() - self._change.since < _SETTLED:
            self.settle()
        return why

    def settle(self) -> None:
        """Write the line of the last change, unless it is there. Where that fails the next look tries again."""
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
        told = _told_by(self._switch.file) if new == "killed" else None
        return told or audit_entry(
            self._switch.experiment,
            old="killed" if new == "running" else "running",
            new=new,
            reason=change.why or "nothing kills it any more",
            who=UNKNOWN,
            when=change.when,
        )


def _told_by(file: Path) -> dict[str, Any] | None:
    """The line that `KillSwitch.kill` left in a kill file; None: somebody else made it, or it is gone."""
    try:
        found: Any = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"who", "when", "new"} <= found.keys() else None
