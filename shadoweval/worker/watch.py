"""What a worker does beside its work: witness the kill switch, listen for silence, tell the mirrors how it goes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from shadoweval.experiment import Experiment
from shadoweval.traffic.watching import Witness
from shadoweval.worker.feedback import Feedback

__all__ = ["Watch"]

log: Final = logging.getLogger(__name__)
_EVERY: Final = 60.0
"""Seconds between two looks of the self-test."""


class Watch:
    """The watch over one experiment.

    Args:
        experiment: Which.
        counters: Sum of the counters of all mirroring processes (`Receiver.counters`).
        seconds: Monotonic seconds.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        counters: Callable[[], Mapping[str, int]],
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._experiment, self._counters, self._seconds = experiment, counters, seconds
        self._witness = Witness(experiment.admission.switch, clock=seconds)
        self._feedback = Feedback(experiment, seconds=seconds)
        self._listened = -float("inf")
        self._alarm = ""

    def step(self, *, met: int, oldest: datetime | None) -> None:
        """Look and tell, each as often as it makes sense; see `Feedback.step`."""
        self._witness.look()
        self._feedback.step(met=met, oldest=oldest)
        if not 0.0 <= self._seconds() - self._listened < _EVERY:
            self._listened = self._seconds()
            self._listen()

    def end(self, *, met: int) -> None:
        """Leave nothing untold."""
        self.step(met=met, oldest=None)
        self._witness.settle()

    def _listen(self) -> None:
        found = self._experiment.admission.selftest.look(self._counters())
        reason = "" if found is None or found.meant else found.reason or "not counted"
        if reason and reason != self._alarm:
            log.warning(
                "nothing is mirrored", extra={"experiment": self._experiment.name, "shadow": True, "alarm": str(found)}
            )
        self._alarm = reason
