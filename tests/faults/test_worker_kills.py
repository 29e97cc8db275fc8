"""SIGKILL of the worker at random moments, while the application goes on."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.worker.opening import open_receiver

APP = """
from shadoweval import Experiment, Sandbox

toy = Experiment(
    name="toy",
    candidates={"new": "killapp:new"},
    incumbent="killapp:old",
    rerun=0.3,
    sandbox=Sandbox(guard=False),
)

def old(question):
    return question

def new(question):
    return question.upper()

served = toy.mirror(1.0, control=0.0)(old)
"""
IN_FLIGHT = 2
"""Tasks that this worker leases at once: a process for each arm."""
SERVE = "import killapp, sys\nfor n in range(int(sys.argv[1]), int(sys.argv[2])): killapp.served(f'question {n}')"


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    (tmp_path / "killapp.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE", "SHADOWEVAL_KILL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def worker(*options):
    return subprocess.Popen(
        [sys.executable, "-m", "shadoweval", "worker", "killapp:toy", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def murdered(kills, *, per_kill):
    """Serve `per_kill` queries before each of `kills` workers, and kill each at a random moment of its work."""
    rng = random.Random(kills)
    for number in range(kills):
        first = number * per_kill
        subprocess.run([sys.executable, "-c", SERVE, str(first), str(first + per_kill)], check=True)
        process = worker()
        process.stdout.readline()
        time.sleep(rng.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    return kills * per_kill


@pytest.mark.parametrize("kills", [pytest.param(200, marks=[pytest.mark.marathon, pytest.mark.timeout(3600)]), 4])
def test_a_killed_worker_loses_and_doubles_nothing(project, kills):
    """Every mirrored query ends as exactly one pair, whatever the kills hit."""
    served = murdered(kills, per_kill=20)

    last = worker("--until-idle")
    said, _ = last.communicate(timeout=600)
    assert last.returncode == 0, said
    with SqlStore(Settings(home=str(project / ".shadoweval")).store_url) as store:
        pairs = list(store.pairs("toy", "new"))
        funnel = store.funnel("toy", "new")

    assert len(pairs) == served
    assert len({pair.id for pair in pairs}) == served
    assert len({pair.query.text for pair in pairs}) == served
    assert (funnel.eligible, funnel.mirrored, funnel.paired, funnel.gap) == (served, served, served, 0)
    right = [pair for pair in pairs if not pair.candidate.failed]
    assert all(pair.candidate.outcome.answer == pair.query.text.upper() for pair in right)
    # A task that three workers died over is given up, and each death may meet as many as were in flight.
    assert len(pairs) - len(right) <= IN_FLIGHT * (kills // 3)
    assert all(pair.candidate.owner == "shadow" for pair in pairs if pair.candidate.failed)


def test_the_reading_end_is_free_again(project):
    """A killed worker's lock on the spool is gone with it."""
    murdered(1, per_kill=3)
    sys.path.insert(0, ".")
    try:
        import killapp

        receiver = open_receiver(killapp.toy)
        batch = receiver.receive(10)
        receiver.close()
    finally:
        sys.path.remove(".")
        sys.modules.pop("killapp", None)

    assert batch is None or len(batch.frames) <= 3
