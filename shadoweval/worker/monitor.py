"""What a worker does beside running candidates.

It audits the kill switch, raises the alarm when nothing is mirrored any more, and gives the mirrors the feedback that
their breakers go by.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from shadoweval.clock import Clock, Seconds, utc_now
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.private import replace_private
from shadoweval.records import Arm
from shadoweval.traffic.gauges import Backlog, Throttling
from shadoweval.traffic.kill_audit import KillAuditor
from shadoweval.transport.spool import CAP_BYTES, weight

__all__ = ["Monitor", "read_processes"]

log: Final = logger(__name__)
_SELFTEST_EVERY: Final = 60.0
_BACKLOG_EVERY: Final = 5.0


class Monitor:
    """Monitors one experiment, step by step.

    `counters` gives the sum of all mirroring processes' (`Receiver.counters`), `processes` sentences about each arm's,
    which are kept for `shadoweval status`.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        counters: Callable[[], Mapping[str, int]],
        processes: Callable[[], Mapping[Arm, Sequence[str]]] = dict,
        seconds: Seconds = time.monotonic,
    ) -> None:
        self._experiment, self._counters, self._seconds = experiment, counters, seconds
        self._auditor = KillAuditor(experiment.admission.switch, clock=seconds)
        self._feedback = Feedback(experiment, seconds=seconds)
        self._processes, self._written = processes, dict[Arm, Sequence[str]]()
        self._tested = -float("inf")
        self._alarm = ""

    def step(self, *, throttles: int, oldest: datetime | None) -> None:
        """Check and report, each as often as it makes sense; see `Feedback.step`."""
        self._auditor.poll()
        self._feedback.step(throttles=throttles, oldest=oldest)
        if not 0.0 <= self._seconds() - self._tested < _SELFTEST_EVERY:
            self._tested = self._seconds()
            self._test()
            self._keep_processes()

    def _keep_processes(self) -> None:
        processes = dict(self._processes())
        if processes != self._written:
            self._written = processes
            with contextlib.suppress(OSError):  # a full disk: the worker says it at its end
                write_processes(self._experiment.settings.folder, self._experiment.name, processes)

    def end(self, *, throttles: int) -> None:
        """The last step, which leaves nothing unwritten."""
        self.step(throttles=throttles, oldest=None)
        self._auditor.settle()
        self._keep_processes()

    def _test(self) -> None:
        silence = self._experiment.admission.selftest.check(self._counters())
        reason = "" if silence is None or silence.meant else silence.reason or "not counted"
        if reason and reason != self._alarm:
            alarm = {"experiment": self._experiment.name, "shadow": True, "alarm": str(silence)}
            log.warning("nothing is mirrored", extra=alarm)
        self._alarm = reason


def write_processes(folder: Path, name: str, processes: Mapping[Arm, Sequence[str]]) -> None:
    """Keep what a worker says about the processes of each arm."""
    path = folder / f"processes-{name}.json"
    replace_private(path, json.dumps(processes).encode())


def read_processes(folder: Path, name: str) -> dict[Arm, list[str]]:
    """What the last worker of this host said about the processes of each arm; empty where none did."""
    try:
        return json.loads((folder / f"processes-{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


class Feedback:
    """Reports to one experiment's mirrors: rate limits that candidates met, and how far the worker is behind."""

    def __init__(self, experiment: Experiment, *, clock: Clock = utc_now, seconds: Seconds = time.monotonic) -> None:
        home = experiment.settings.folder
        self._throttling = Throttling(experiment.name, home=home)
        self._backlog = Backlog(experiment.name, home=home)
        self._spool = experiment.spool
        self._clock, self._seconds = clock, seconds
        self._reported = -float("inf")
        self._throttles = 0
        self._fault = ""

    def step(self, *, throttles: int, oldest: datetime | None) -> None:
        """Report what is new; rate limits at once, the backlog every five seconds.

        `throttles` is how often a rate limit was met so far, `oldest` when the oldest query that waits was asked.
        """
        try:
            if throttles > self._throttles:
                self._throttling.add(throttles - self._throttles)
                self._throttles = throttles
            if not 0.0 <= self._seconds() - self._reported < _BACKLOG_EVERY:
                self._reported = self._seconds()
                age = 0.0 if oldest is None else max((self._clock() - oldest).total_seconds(), 0.0)
                self._backlog.report(age=age, fill=weight(self._spool) / CAP_BYTES)
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("the mirrors can't be told how it goes", extra={"why": str(error)})
