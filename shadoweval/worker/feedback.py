"""What the worker tells the mirrors, so that they stop before users suffer: rate limits, and how far it is behind."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from shadoweval.experiment import Experiment
from shadoweval.traffic.backlog import Backlog
from shadoweval.traffic.gauges import Throttling
from shadoweval.transport.spool import CAP_BYTES
from shadoweval.worker.clock import Clock, utc_now

__all__ = ["Feedback"]

log: Final = logging.getLogger(__name__)
_EVERY: Final = 5.0


class Feedback:
    """Tells one experiment's mirrors.

    Args:
        experiment: Whose.
        clock: Now, aware UTC.
        seconds: Monotonic seconds.
    """

    def __init__(
        self, experiment: Experiment, *, clock: Clock = utc_now, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        home = experiment.settings.folder
        self._throttling = Throttling(experiment.name, home=home)
        self._backlog = Backlog(experiment.name, home=home)
        self._spool = experiment.spool
        self._clock, self._seconds = clock, seconds
        self._told = -float("inf")
        self._met = 0
        self._fault = ""

    def step(self, *, met: int, oldest: datetime | None) -> None:
        """Tell what is new; rate limits at once, the backlog every five seconds.

        Args:
            met: How often a rate limit was met so far.
            oldest: When the oldest query that waits was asked; None: none waits.
        """
        try:
            if met > self._met:
                self._throttling.seen(met - self._met)
                self._met = met
            if not 0.0 <= self._seconds() - self._told < _EVERY:
                self._told = self._seconds()
                age = 0.0 if oldest is None else max((self._clock() - oldest).total_seconds(), 0.0)
                self._backlog.tell(age=age, fill=self._fill())
        except OSError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                log.warning("the mirrors can't be told how it goes", extra={"why": str(error)})

    def _fill(self) -> float:
        try:
            with os.scandir(self._spool) as entries:
                return sum(entry.stat().st_size for entry in entries if entry.name.endswith(".seg")) / CAP_BYTES
        except FileNotFoundError:  # no spool, or a segment that was done with just now
            return 0.0
