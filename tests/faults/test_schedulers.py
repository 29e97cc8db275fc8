"""Real schedulers on one store, killed in mid-run or side by side: no slot is lost or run twice."""

import itertools
import os
import re
import signal
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shadoweval.protocols import Claim
from shadoweval.store import SqlStore
from tests.waiting import until

APP = """
import os, time
from pathlib import Path
from shadoweval import Experiment, Schedule, no_worse
from shadoweval.scoring import errors

toy = Experiment(
    name="toy", candidates={"new": "timed:toy"}, rerun=0.0, scorers=[errors()], gates=[no_worse("errors", by=0.1)],
    schedules=[Schedule(every=os.environ.get("EVERY", "2s"), name="often", run="look", missed="all")],
)
"""
SLOW = """
import shadoweval.cli.schedule as module
looked = module.evaluate_once

def slowly(*args, **options):
    Path("begun").touch()
    while not Path("go").exists():
        time.sleep(0.02)
    made = looked(*args, **options)
    Path("stored").touch()
    while not Path("end").exists():
        time.sleep(0.02)
    return made

module.evaluate_once = slowly
"""
MINUTE = 60


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SHADOWEVAL_STORE", url)
    monkeypatch.delenv("SHADOWEVAL_HOME", raising=False)
    Path("timed.py").write_text(APP, encoding="utf-8")


def start(home, *words):
    line = [sys.executable, "-m", "shadoweval", "schedule", "timed:toy", *words]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(line, env={**os.environ, "SHADOWEVAL_HOME": home}, **options)


def ended(process):
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=2 * MINUTE)
    assert process.returncode == 0, out
    return out


def history(store):
    """Slots that were run, oldest first."""
    slots = store.slots.history("toy", "often", limit=500)[::-1]
    return [slot for slot in slots if slot.state != "known"]


def looks(store):
    """The slots of the looks that are stored, oldest first."""
    return [evaluation.id for evaluation in store.evaluations("toy", limit=500)][::-1]


def ids(slots):
    return [f"{slot.at:%Y%m%dT%H%M%SZ}-often" for slot in slots]


def test_two_schedulers_run_each_slot_once(url):
    """On one store from two homes, as on two hosts: no slot is left out, and none is looked at twice."""
    with closing(SqlStore(url)) as store:
        both = [start("one"), start("two")]
        until(lambda: len([slot for slot in history(store) if slot.state == "done"]) >= 3)
        said = [ended(process) for process in both]
        slots = history(store)
        stored = looks(store)

    gaps = {(later.at - slot.at).total_seconds() for slot, later in itertools.pairwise(slots)}
    assert gaps == {2.0}
    assert sorted(stored) == ids(slots)
    runs = [int(re.search(r"^(\d+) runs, 0 failed, 0 missed", each, re.MULTILINE)[1]) for each in said]
    assert sum(runs) == len(slots)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("when", ["begun", "stored"])
def test_a_scheduler_killed_in_mid_run_leaves_its_slot_to_the_next_one(url, when, monkeypatch):
    """Before its look is stored: it is made then. After it: it is not made again. And `--list` tells the slot."""
    monkeypatch.setenv("EVERY", "1h")
    Path("timed.py").write_text(APP.replace('missed="all"', 'missed="last"') + SLOW, encoding="utf-8")
    with closing(SqlStore(url)) as store:
        _make_due(store)
        if when == "stored":
            Path("go").touch()
        dying = start("one", "--once")
        until(Path(when).exists)
        dying.send_signal(signal.SIGKILL)
        dying.communicate()
        for name in ("go", "end"):
            Path(name).touch()
        next_one = start("two", "--once")
        out, _ = next_one.communicate(timeout=3 * MINUTE)
        slots = history(store)
        stored = looks(store)

    assert next_one.returncode == 2, out  # nothing was mirrored: held by an error
    assert [(slot.state, slot.attempt) for slot in slots] == [("done", 2)]
    assert stored == ids(slots)
    listed = start("two", "--list").communicate(timeout=2 * MINUTE)[0]
    assert re.search(r"done, try 2: new: hold \(error\)", listed), listed


def _make_due(store):
    """The schedule was first seen an hour ago, so that its last slot is due."""
    now = datetime.now(UTC)
    facts = {"now": now, "times": lambda after: [], "missed": "last", "tries": 1, "seconds": 1.0}
    first = Claim(schedule="often", owner="", gone=lambda owner: True, begin=now - timedelta(hours=1), **facts)
    assert store.slots.claim("toy", first) is None


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_run_that_fails_is_told_and_ends_with_4(url, monkeypatch):
    """In the log, in `--list` and, as an alarm, in `status`."""
    monkeypatch.setenv("EVERY", "1h")
    app = APP.replace('missed="all"', "retries=0").replace('run="look"', 'run="calibrate"')
    Path("timed.py").write_text(app, encoding="utf-8")
    with closing(SqlStore(url)) as store:
        _make_due(store)
    process = start("one", "--once")
    out = process.communicate(timeout=2 * MINUTE)[0]
    listed = start("one", "--list").communicate(timeout=2 * MINUTE)[0]
    line = [sys.executable, "-m", "shadoweval", "status", "timed:toy"]
    status = subprocess.run(line, env={**os.environ, "SHADOWEVAL_HOME": "one"}, capture_output=True, text=True)

    assert process.returncode == 4, out
    assert "a scheduled run failed, 0 tries are left" in out
    assert "failed, try 1: ExperimentError: 0 queries of 'toy' were run again by a worker" in listed
    assert status.returncode == 1
    assert re.search(r"ALARM: the schedule 'often': its run of .* failed 1 times: ExperimentError: 0 q", status.stdout)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_suite_of_cases_is_run_at_its_time(url, monkeypatch):
    """Its verdict stands in the history, its exit code is the verdict's, and its report lies where it is asked for."""
    monkeypatch.setenv("EVERY", "1h")
    app = APP.replace('run="look", missed="all"', 'run="cases", cases="cases.jsonl"')
    app = app.replace("rerun=0.0", 'rerun=0.0, incumbent="timed:answer"') + "\n\ndef answer(q):\n    return q\n"
    Path("timed.py").write_text(app.replace('"timed:toy"', '"timed:answer"'), encoding="utf-8")
    Path("cases.jsonl").write_text('{"query": "a?"}\n{"query": "b?"}\n', encoding="utf-8")
    with closing(SqlStore(url)) as store:
        _make_due(store)
        process = start("one", "--once", "--report", "reports")
        out = process.communicate(timeout=4 * MINUTE)[0]
        (slot,) = history(store)

    assert process.returncode in {2, 3}, out
    assert (slot.state, slot.said[:9]) == ("done", "new: hold"), out
    assert Path("reports/toy-cases.html").exists()
