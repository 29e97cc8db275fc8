"""Every so often, one at a time."""

import threading

import pytest

from shadoweval.evaluation.schedule import repeat


class Ticks:
    """A clock and a stop event in one: waiting moves the clock."""

    def __init__(self):
        self.now = 0.0
        self.waits: list[float] = []
        self._set = threading.Event()

    def is_set(self):
        return self._set.is_set()

    def set(self):
        self._set.set()

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def test_runs_at_once_and_then_at_each_multiple():
    """Runs begin at 0, 10, 20, however long each takes."""
    ticks, began = Ticks(), []

    def job():
        began.append(ticks.now)
        ticks.now += 3
        if len(began) == 3:
            ticks.set()

    counts = repeat(job, every=10, stop=ticks, clock=lambda: ticks.now)

    assert began == [0, 10, 20]
    assert counts == {"runs": 3, "missed": 0}


def test_a_run_that_takes_too_long_is_not_followed_by_a_queue():
    """Times that passed meanwhile are missed and counted."""
    ticks, began = Ticks(), []

    def job():
        began.append(ticks.now)
        ticks.now += 25
        if len(began) == 2:
            ticks.set()

    counts = repeat(job, every=10, stop=ticks, clock=lambda: ticks.now)

    assert began == [0, 30]
    assert counts["missed"] == 4


def test_what_a_job_raises_passes():
    """An error ends the schedule; it is not swallowed."""
    with pytest.raises(ZeroDivisionError):
        repeat(lambda: 1 / 0, every=1, stop=threading.Event())
