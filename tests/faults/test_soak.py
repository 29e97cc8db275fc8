"""Applications, workers, evaluators and erasures under random faults: in the end every call is accounted for.

`SHADOWEVAL_SOAK_SECONDS` (60) says how long, `SHADOWEVAL_SOAK_SEED` which faults come, `SHADOWEVAL_SOAK_HOMES` in how
many homes that share the store; a failure names them.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from shadoweval.store import SqlStore
from tests.faults.harness import ROLES, Machine, calls, fill, own_disk

SECONDS = float(os.environ.get("SHADOWEVAL_SOAK_SECONDS", "60"))
HOMES = range(int(os.environ.get("SHADOWEVAL_SOAK_HOMES", "1")))
SEED = int(os.environ.get("SHADOWEVAL_SOAK_SEED", "20"))
APP = """
import os, sys, time
from shadoweval import Experiment, Sandbox, no_worse
from shadoweval.scoring import errors

toy = Experiment(
    name="toy", candidates={"new": "soaked:new"}, rerun=0.0, scorers=[errors()],
    gates=[no_worse("errors", by=0.1)], sandbox=Sandbox(guard=False),
)

def old(question, user):
    return question

def new(question, user):
    if question.endswith("7"):
        raise ValueError("sevens")
    return question

served = toy.mirror(1.0, control=0.0, unit=lambda question, user: user)(old)

if __name__ == "__main__":
    import soaked
    first, count = map(int, sys.argv[1:])
    with open(f"calls-{first}", "a", buffering=1) as calls:
        for n in range(first, first + count):
            calls.write(f"b {n}\\n")
            assert soaked.served(f"question {n}", f"user {n % 50}") == f"question {n}"
            calls.write(f"e {n}\\n")
            time.sleep(0.02)
"""
JUMPING = """
import os
if os.environ.get("JUMPS"):
    from datetime import timedelta
    import shadoweval.clock as clock
    real = clock.utc_now
    def utc_now():
        try:
            with open(os.environ["JUMPS"]) as file:
                return real() + timedelta(seconds=float(file.read() or 0))
        except (OSError, ValueError):
            return real()
    clock.utc_now = utc_now
"""


class Soak(Machine):
    """What is done to a machine; the same seed does the same in the same order."""

    def __init__(self, folder, url):
        super().__init__(folder, "soaked", homes=[folder / "disk" / f"home{number}" for number in HOMES])
        self.url, self.rng = url, random.Random(SEED)
        self.offset, self.erased, self.faults = folder / "offset", set(), Counter()

    def start(self, role, home=0, **more):
        """Clocks of all but applications jump."""
        jumps = {} if role == "application" else {"JUMPS": str(self.offset)}
        super().start(role, home, **jumps, **more)

    def keep_up(self):
        """Whoever ended or was killed is begun again, as a supervisor would; sooner or later."""
        for key in [(role, home) for role in ROLES for home in HOMES]:
            if not self.lives(*key) and self.rng.random() < 0.7:
                self.start(*key)

    def kill(self):
        key = self.rng.choice(sorted(self.running))
        self.running[key].send_signal(signal.SIGKILL)

    def stop(self):
        key = self.rng.choice(sorted(self.running))
        self.running[key].send_signal(self.rng.choice([signal.SIGTERM, signal.SIGHUP, signal.SIGINT]))

    def hang(self):
        process = self.running[self.rng.choice(sorted(self.running))]
        process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        process.send_signal(signal.SIGCONT)

    def lock(self):
        """Another session writes, and takes two seconds for it."""
        engine = create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"))
        with contextlib.suppress(Exception), engine.connect() as connection:  # a full disk refuses it, too
            if engine.dialect.name == "postgresql":
                connection.execute(text("LOCK TABLE shadow_task IN ACCESS EXCLUSIVE MODE"))
            else:
                connection.connection.driver_connection.execute("BEGIN IMMEDIATE")
            time.sleep(2)
            connection.rollback()
        engine.dispose()

    def fill(self):
        """The disk under homes and SQLite's file is full for two seconds."""
        ballast = self.folder / "disk" / "ballast"
        fill(ballast)
        time.sleep(2)
        ballast.unlink(missing_ok=True)

    def jump(self):
        self.offset.write_text(str(self.rng.choice([0, 30, -30, 3600, -3600, 86_400])))

    def erase(self):
        user = f"user {self.rng.randrange(50)}"
        words = [sys.executable, "-m", "shadoweval", "erase", "soaked:toy", "--unit", user]
        environment = {**os.environ, "SHADOWEVAL_HOME": str(self.homes[0])}
        if subprocess.run(words, env=environment, capture_output=True, timeout=300, check=False).returncode == 0:
            self.erased.add(user)

    def run(self):
        deadline = time.monotonic() + SECONDS
        faults = [self.kill, self.kill_together, self.stop, self.hang, self.lock, self.fill, self.jump, self.erase]
        while time.monotonic() < deadline:
            self.keep_up()
            time.sleep(self.rng.uniform(0.2, 1.5))
            if self.running:
                fault = self.rng.choice(faults)
                fault()
                self.faults[fault.__name__] += 1

    def settle(self):
        """All faults are over: applications end by themselves, then workers run until nothing is left."""
        self.offset.write_text("0")
        self.drain()
        for (role, home), process in self.running.items():
            assert process.poll() is not None, (role, home)


@pytest.fixture(name="soak")
def _soak(tmp_path, url, monkeypatch):
    with own_disk(tmp_path / "disk", size="256m") as disk:
        if url.startswith("sqlite"):
            url = f"sqlite:///{disk / 'shadow.db'}"
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.setenv("SHADOWEVAL_STORE", url)
        monkeypatch.delenv("SHADOWEVAL_HOME", raising=False)
        Path("soaked.py").write_text(APP, encoding="utf-8")
        Path("sitecustomize.py").write_text(JUMPING, encoding="utf-8")
        soak = Soak(tmp_path, url)
        yield soak
        soak.close()


@pytest.mark.marathon
@pytest.mark.timeout(int(SECONDS) + 1800)
def test_after_all_faults_every_call_is_accounted_for(soak):
    """Eligible is what was not mirrored, by reason, and what was; that is paired, failed by reason, or erased."""
    soak.run()
    soak.settle()
    begun, answered = calls(soak.folder)
    with closing(SqlStore(soak.url)) as store:
        funnel = store.funnel("toy", "new")
        with store._engine.connect() as connection:
            stored = connection.execute(text("SELECT count(*) FROM shadow_envelope")).scalar()
            runs = connection.execute(text("SELECT count(*) FROM shadow_observation WHERE arm = 'new'")).scalar()
            states = Counter(connection.execute(text("SELECT state FROM shadow_task")).scalars().all())
            counted = "SELECT coalesce(sum(value), 0) FROM shadow_counter WHERE name = 'erased'"
            erased = int(connection.execute(text(counted)).scalar())
    seen = (
        f"seed {SEED}, {SECONDS:.0f} s, {len(HOMES)} homes, faults {dict(soak.faults)}",
        funnel,
        states,
        erased,
        len(begun),
        len(answered),
    )
    print(*seen, sep="\n")

    assert funnel.gap == 0, seen
    assert funnel.waiting == 0, seen
    assert len(answered) <= funnel.eligible + erased <= len(begun), seen
    assert runs <= stored <= funnel.mirrored, seen
    assert set(states) <= {"done", "set_aside"}, seen
    assert funnel.paired > 0, seen
    assert answered, seen
