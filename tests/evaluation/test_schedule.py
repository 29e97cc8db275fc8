"""Every so often, one at a time."""

import subprocess
import sys
import threading

import pytest

from shadoweval.clock import parse_span
from shadoweval.errors import SettingsError
from shadoweval.evaluation.schedule import repeat
from shadoweval.worker.opening import exclusive


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


def test_one_at_a_time(tmp_path):
    """A second process is told who is at it; when that one dies the lock is free."""
    script = (
        "import sys\nfrom pathlib import Path\nfrom shadoweval.worker.opening import exclusive\n"
        "with exclusive(Path(sys.argv[1]), 'evaluate.lock'):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"

    with pytest.raises(SettingsError, match=f"process {holder.pid} is at it"), exclusive(tmp_path, "evaluate.lock"):
        pass

    holder.kill()
    holder.communicate()
    with exclusive(tmp_path, "evaluate.lock"):
        pass


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800)])
def test_spans(text, seconds):
    """Spans are read as people write them."""
    assert parse_span(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0s", "1w", "1h30m"])
def test_bad_spans_are_named(text):
    """What is no span is an error that shows how to write one."""
    with pytest.raises(SettingsError, match="30m or 24h"):
        parse_span(text, name="--since")
