"""A store that is gone for a while, a lock, a damaged file, a signal: real commands go on, or end with a word."""

import json
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.harness import fill, own_cluster, own_disk
from tests.waiting import until

APP = """
import os, time
from pathlib import Path
from shadoweval import Experiment, Limits, Sandbox, no_worse
from shadoweval.scoring import errors

toy = Experiment(
    name="toy",
    candidates={"new": "hiccups:new"},
    rerun=0.0,
    scorers=[errors()],
    gates=[no_worse("errors", by=0.1)],
    labels="cases.jsonl",
    sandbox=Sandbox(guard=False, limits=Limits(seconds=300)),
)

def old(question):
    return question

def new(question):
    with open(os.environ["RUNS"], "a") as file:
        file.write(question + "\\n")
    time.sleep(float(os.environ.get("TAKES", "0.1")))
    return question

served = toy.mirror(1.0, control=0.0)(old)
"""
SERVE = "import sys, hiccups\nfor n in range(int(sys.argv[1]), int(sys.argv[2])): hiccups.served(f'question {n}')"


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE", "SHADOWEVAL_KILL"):
        monkeypatch.delenv(name, raising=False)
    Path("hiccups.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    Path("cases.jsonl").write_text('{"query": "question 1", "reference": "x"}\n', encoding="utf-8")


def _heeds_hang_ups():
    """Whoever runs these tests may ignore them (nohup), and a command does as it was begun."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(name="start")
def _start():
    """Starts a command; what it says goes into a file of its name."""
    started = []

    def start(*words):
        with Path(f"{words[0]}.log").open("wb") as log:
            command = [sys.executable, "-m", "shadoweval", *words]
            started.append(subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=_heeds_hang_ups))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(name="cluster")
def _cluster():
    with own_cluster() as cluster:
        yield cluster


def serve(first, last):
    subprocess.run([sys.executable, "-c", SERVE, str(first), str(last)], check=True, timeout=120)


def wait_for(condition, *, seconds=120):
    until(condition, seconds=seconds, said=lambda: "\n".join(log.read_text("utf-8") for log in Path().glob("*.log")))


def said(command):
    return Path(f"{command}.log").read_text(encoding="utf-8")


def stored(folder=Path(".shadoweval")):
    with closing(sqlite3.connect(folder / "shadow.db", timeout=60)) as database:
        return database.execute("SELECT count(*) FROM shadow_observation").fetchone()[0]


def runs():
    return Path("runs").read_text(encoding="utf-8").split("\n")[:-1] if Path("runs").exists() else []


@pytest.mark.service("postgresql")
def test_a_server_that_is_gone_for_seconds_costs_nothing(start, cluster, monkeypatch):
    """Shut down at once in the middle of the work, away while more calls come, back: all is run once, and kept once."""
    monkeypatch.setenv("SHADOWEVAL_STORE", cluster.url())
    serve(0, 30)
    worker = start("worker", "hiccups:toy")
    wait_for(lambda: len(runs()) >= 3)

    cluster.stop()
    serve(30, 40)
    wait_for(lambda: "waiting for this to pass" in said("worker"))
    time.sleep(4)
    assert worker.poll() is None
    cluster.start()

    observations = "SELECT count(*) FROM shadow_observation"
    wait_for(lambda: cluster.ask(observations) == [(40,)])
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    assert sorted(runs()) == sorted(f"question {n}" for n in range(40))
    assert said("worker").count("waiting for this to pass") <= 2  # in a turn, and at the end of runs
    assert "going on" in said("worker")


@pytest.mark.marathon
@pytest.mark.timeout(900)
@pytest.mark.service("postgresql")
def test_a_server_that_is_gone_for_a_minute_costs_nothing(start, cluster, monkeypatch):
    """Worker and `evaluate --every` are there after it, the same processes, and go on by themselves."""
    monkeypatch.setenv("SHADOWEVAL_STORE", cluster.url())
    serve(0, 100)
    both = [start("worker", "hiccups:toy"), start("evaluate", "hiccups:toy", "--every", "3s")]
    wait_for(lambda: len(runs()) >= 3 and "pairs" in said("evaluate"))

    cluster.stop()
    gone = time.monotonic()
    serve(100, 140)
    wait_for(lambda: all("waiting for this to pass" in said(command) for command in ("worker", "evaluate")))
    while time.monotonic() - gone < 60:
        time.sleep(1)
    assert [process.poll() for process in both] == [None, None]
    cluster.start()

    wait_for(lambda: cluster.ask("SELECT count(*) FROM shadow_observation") == [(140,)])
    wait_for(lambda: "after 140 pairs" in said("evaluate"))
    for process in both:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    assert sorted(runs()) == sorted(f"question {n}" for n in range(140))
    assert all("going on" in said(command) for command in ("worker", "evaluate"))
    assert cluster.ask("SELECT DISTINCT state, attempt FROM shadow_task") == [("done", 1)]


@pytest.mark.slow
def test_a_full_disk_under_the_store_is_waited_for(start, tmp_path, monkeypatch):
    """SQLite's disk is full in the middle of the work: told once, runs wait, and with space all is kept once."""
    with own_disk(tmp_path / "disk", size="16m") as disk:
        monkeypatch.setenv("SHADOWEVAL_STORE", f"sqlite:///{disk / 'shadow.db'}")
        serve(0, 30)
        worker = start("worker", "hiccups:toy")
        wait_for(lambda: len(runs()) >= 3)

        fill(disk / "ballast")
        serve(30, 60)
        wait_for(lambda: "waiting for this to pass" in said("worker"))
        time.sleep(4)
        assert worker.poll() is None
        assert stored(disk) < 60
        (disk / "ballast").unlink()

        wait_for(lambda: stored(disk) == 60)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=60) == 0
        assert sorted(runs()) == sorted(f"question {n}" for n in range(60))
        assert "disk is full" in said("worker")
        assert "going on" in said("worker")
        assert said("worker").count("waiting for this to pass") <= 2  # in a turn, and at the end of runs


@pytest.mark.service("postgresql")
def test_what_lasts_ends_the_command(start, cluster, monkeypatch):
    """A wrong password, a database that is not there, a table that was dropped: 4, and how to mend it."""
    monkeypatch.setenv("SHADOWEVAL_STORE", cluster.url(password="wrong"))
    assert start("worker", "hiccups:toy").wait(timeout=90) == 4
    assert "Correct the user and the password" in said("worker")

    monkeypatch.setenv("SHADOWEVAL_STORE", cluster.url(database="nowhere"))
    assert start("evaluate", "hiccups:toy", "--every", "1h").wait(timeout=90) == 4
    assert '"nowhere" does not exist' in said("evaluate")

    monkeypatch.setenv("SHADOWEVAL_STORE", cluster.url())
    worker = start("worker", "hiccups:toy")
    wait_for(lambda: "shadowing" in said("worker"))
    cluster.ask("ALTER TABLE shadow_task RENAME TO gone")
    assert worker.wait(timeout=90) == 4
    assert "shadow_task" in said("worker")


@pytest.mark.slow
def test_a_writer_of_fourteen_seconds_is_waited_for(start):
    """On SQLite another process holds the lock longer than anybody waits for it: told once, then all is done."""
    serve(0, 5)
    worker = start("worker", "hiccups:toy")
    wait_for(lambda: "shadowing" in said("worker") and len(runs()) == 5 and stored() == 5)
    with closing(sqlite3.connect(Path(".shadoweval", "shadow.db"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        serve(5, 10)
        time.sleep(14)
        other.execute("ROLLBACK")

    wait_for(lambda: stored() == 10)
    assert worker.poll() is None
    assert "look for one that hangs" in said("worker")
    assert "deadlock" not in said("worker")


def test_damaged_inputs_of_a_look_are_waited_for(start):
    """Labels that are torn for a moment, an empty sum of counters: the next look has all of it."""
    serve(0, 3)
    assert start("worker", "hiccups:toy", "--until-idle").wait(timeout=120) == 0
    whole = Path("cases.jsonl").read_text(encoding="utf-8")
    Path("cases.jsonl").write_text(whole[:20], encoding="utf-8")
    Path(".shadoweval", "spool", "toy", "total.json").write_bytes(b"")

    looks = start("evaluate", "hiccups:toy", "--every", "1h")
    wait_for(lambda: "waiting for this to pass" in said("evaluate"))
    Path("cases.jsonl").write_text(whole, encoding="utf-8")

    wait_for(lambda: "after 3 pairs" in said("evaluate"))
    looks.send_signal(signal.SIGHUP)
    looks.wait(timeout=60)
    assert "1 runs, 0 missed" in said("evaluate")
    assert said("evaluate").count("waiting for this to pass") == 1


@pytest.mark.parametrize("signs", [[signal.SIGHUP], [signal.SIGTERM, signal.SIGHUP]])
def test_a_signal_ends_a_worker_in_order(start, monkeypatch, signs):
    """A closed terminal lets runs end; who asks twice has what runs given back, uncounted as a try.

    By another signal, since the kernel makes one of two alike that a busy machine delivers together.
    """
    monkeypatch.setenv("TAKES", "3" if len(signs) == 1 else "100")
    serve(0, 1)
    worker = start("worker", "hiccups:toy")
    wait_for(lambda: len(runs()) == 1)

    for sign in signs:
        worker.send_signal(sign)

    assert worker.wait(timeout=60) == 0
    with closing(sqlite3.connect(Path(".shadoweval", "shadow.db"))) as database:
        tasks = database.execute("SELECT state, attempt FROM shadow_task").fetchall()
    assert tasks == ([("done", 1)] if len(signs) == 1 else [("open", 0)])
    assert json.loads(Path(".shadoweval", "heartbeat-toy.json").read_bytes())["error"] == ""


def test_a_home_without_locks_is_said(start):
    """A file system that refuses `flock`: one sentence, not "another worker is at it", and no turn for ever."""
    Path("sitecustomize.py").write_text(
        "import errno, fcntl, os\n"
        "def flock(*_):\n    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))\n"
        "fcntl.flock = flock\n",
        encoding="utf-8",
    )

    assert start("worker", "hiccups:toy").wait(timeout=90) == 4

    assert "keeps no locks" in said("worker")
    assert "Traceback" not in said("worker")


def test_no_folder_for_temporary_files_is_said(start, monkeypatch):
    """TMPDIR, /tmp and all others unusable: one sentence that names them."""
    Path("sitecustomize.py").write_text(
        "import tempfile\ntempfile._candidate_tempdir_list = lambda: ['/nowhere']\n", encoding="utf-8"
    )

    assert start("worker", "hiccups:toy").wait(timeout=90) == 4

    assert "No usable temporary directory found in ['/nowhere']" in said("worker")
    assert "Traceback" not in said("worker")
