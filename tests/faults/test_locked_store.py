"""Another session holds what the worker needs: signs of life go on, and a worker that is asked to end does."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text

from shadoweval.worker.heartbeat import read_beat
from tests.waiting import until

APP = """
import sys, time
from shadoweval import Experiment, Limits, Sandbox

if "worker" in sys.argv:  # its calls to the store wait for a lock as long as the test lasts, not ten seconds
    from shadoweval.store import engine
    engine.BUSY_MS = engine._TIMEOUTS["lock_timeout"] = 600_000

toy = Experiment(
    name="toy", candidates={"new": "locked:new"}, rerun=0.0,
    sandbox=Sandbox(guard=False, rest=0.0, limits=Limits(seconds=20)),
)

def old(question):
    return question

def new(question):
    time.sleep(0.2)
    return question

served = toy.mirror(1.0, control=0.0)(old)

if __name__ == "__main__":
    import locked
    for n in range(400):
        locked.served(f"question {n}")
"""


@contextlib.contextmanager
def locked(url):
    """All that the worker writes, as a migration by hand locks it."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("LOCK TABLE shadow_task, shadow_envelope, shadow_owner IN ACCESS EXCLUSIVE MODE"))
        else:
            connection.connection.driver_connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()
    engine.dispose()


@pytest.fixture(name="run")
def _run(tmp_path, url):
    (tmp_path / "locked.py").write_text(APP, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SHADOWEVAL_STORE": url,
                   "SHADOWEVAL_HOME": str(tmp_path / "home")}  # fmt: skip
    started = []

    def run(*words):
        with (tmp_path / "log").open("ab") as log:
            command = [sys.executable, *words]
            started.append(subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def beat_of(tmp_path):
    return read_beat(tmp_path / "home", "toy")


def test_a_worker_gives_signs_and_ends_while_its_tables_are_locked(run, tmp_path, url):
    """A call to the store waits ten minutes for its lock; signs of life and the end wait for none."""
    assert run("locked.py").wait(120) == 0
    worker = run("-m", "shadoweval", "worker", "locked:toy")
    until(lambda: (beat := beat_of(tmp_path)) is not None and beat.done > 400)
    with locked(url):
        for _ in range(3):
            last = beat_of(tmp_path).beat_at
            until(lambda last=last: beat_of(tmp_path).beat_at != last)
        worker.send_signal(signal.SIGTERM)
        worker.wait(120)
    assert beat_of(tmp_path).ended_at is not None, (tmp_path / "log").read_text()
