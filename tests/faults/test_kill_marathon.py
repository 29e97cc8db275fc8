"""Each kind of process is killed time and again, and all at once: nothing is lost, doubled, or charged to a candidate.

`SHADOWEVAL_KILLS` (200) says how often; what was found is printed.
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
from msgspec.structs import replace
from sqlalchemy import text

from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from tests.faults.harness import ROLES, Machine, calls, own_cluster
from tests.waiting import until

KILLS = int(os.environ.get("SHADOWEVAL_KILLS", "200"))
VICTIMS = (*ROLES, "collector", "child", "fork server")
APP = """
import sys, time
from shadoweval import Experiment, Sandbox, no_worse
from shadoweval.scoring import errors

toy = Experiment(
    name="toy", candidates={"new": "killed:new"}, rerun=0.0, scorers=[errors()],
    gates=[no_worse("errors", by=0.1)], sandbox=Sandbox(guard=False, rest=0.0),
)

def old(question):
    return question

def new(question):
    time.sleep(0.02)
    return question

served = toy.mirror(1.0, control=0.0)(old)

if __name__ == "__main__":
    import killed
    first, count = map(int, sys.argv[1:])
    with open(f"calls-{first}", "a", buffering=1) as calls:
        for n in range(first, first + count):
            calls.write(f"b {n}\\n")
            assert killed.served(f"question {n}") == f"question {n}"
            calls.write(f"e {n}\\n")
            time.sleep(0.1)
"""


class Storm(Machine):
    """Kills of one kind or of any, each after the victim has been there for a random while."""

    def __init__(self, folder, url, *, cluster=None):
        super().__init__(folder, "killed", homes=[folder / "home"], each=100)
        self.url, self.cluster = url, cluster
        self.rng, self.kills = random.Random(12), Counter()

    def keep_up(self):
        """Whoever ended or was killed is begun again at once."""
        for role in ROLES:
            if not self.lives(role):
                self.start(role)

    def found(self, victim):
        """Processes of this kind; as soon as there are any."""

        def living():
            self.keep_up()
            return self.pids(victim)

        return until(living, said=lambda: f"no {victim}\n" + self.said())

    def at_work(self, victim):
        """Each second time wait until a candidate's process lives: a slow machine would kill all while they start."""
        if self.kills[victim] % 2:
            self.found("child")

    def said(self):
        """The end of what all have said."""
        return "\n".join(log.read_text(encoding="utf-8")[-3000:] for log in self.folder.glob("*.log"))

    def kill(self, victim):
        """SIGKILL, or for the database's part also what an administrator does."""
        if victim == "database":
            self.end_session()
            return
        if victim == "worker":
            self.at_work(victim)
        pids = self.found(victim)
        time.sleep(self.rng.uniform(0, {"child": 0.05, "application": 4.0}.get(victim, 1.5)))
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.rng.choice(self.pids(victim) or pids), signal.SIGKILL)
            self.kills[victim] += 1

    def end_session(self):
        """Of any of ours; one in ten is killed, and the server takes all others along and recovers."""
        import psycopg

        time.sleep(self.rng.uniform(0, 1.0))
        ours = "SELECT pid FROM pg_stat_activity WHERE datname = 'postgres' AND pid <> pg_backend_pid()"
        with contextlib.suppress(psycopg.OperationalError):  # it is recovering
            sessions = [pid for (pid,) in self.cluster.ask(ours)]
            if not sessions:
                return
            pid = self.rng.choice(sessions)
            if self.rng.random() < 0.1:
                os.kill(pid, signal.SIGKILL)
            else:
                self.cluster.ask(f"SELECT pg_terminate_backend({pid})")
            self.kills["database"] += 1

    def kill_all(self):
        """Everything there is, in random order, with or without a moment in between."""
        self.at_work("all")
        time.sleep(self.rng.uniform(0.5, 4))
        pids = [pid for victim in VICTIMS for pid in self.pids(victim)]
        self.rng.shuffle(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            time.sleep(self.rng.choice([0.0, 0.0, 0.01]))
        self.kills["all"] += 1

    def run(self, victim, times):
        """Kill until it has been done so often."""
        while self.kills[victim] < times:
            self.keep_up()
            if victim == "all":
                self.kill_all()
            else:
                self.kill(victim)


def accounts(storm):
    """Every call is there once, as a pair of the two right answers, or counted as what it is; the spool is empty."""
    environment = {**os.environ, "SHADOWEVAL_HOME": str(storm.homes[0])}
    words = [sys.executable, "-m", "shadoweval", "evaluate", "killed:toy"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=600, check=False)
    held = {3, 2} if storm.kills["child"] else {3}  # also since the shadow ended too many runs to judge without them
    assert done.returncode in {0, *held}, done.stdout + done.stderr
    receiver = SpoolReceiver(storm.homes[0] / "spool" / "toy")
    assert receiver.receive(1) is None
    receiver.close()
    begun, answered = calls(storm.folder)
    with closing(SqlStore(storm.url)) as store:
        funnel = store.funnel("toy", "new")
        pairs = list(store.pairs("toy", "new"))
        (look,) = store.evaluations("toy")
        with store._engine.connect() as connection:
            states = Counter(connection.execute(text("SELECT state FROM shadow_task")).scalars().all())
            asides = connection.execute(text("SELECT reason FROM shadow_aside")).scalars().all()
            tries = Counter(connection.execute(text("SELECT attempt FROM shadow_task")).scalars().all())
    asked = {pair.query.text for pair in pairs}
    failed = Counter((p.candidate.owner, p.candidate.failure.kind) for p in pairs if p.candidate.failed)
    (verdict,), (gate,) = look.verdicts, look.verdicts[0].gates
    lost = {f"question {n}" for n in answered} - asked
    seen = f"{dict(storm.kills)}, {len(begun)} begun, {len(answered)} answered, {funnel}, {states}, tries {tries}"
    seen += f", set aside {asides}, failed {failed}, lost {sorted(lost)[:5]}"
    seen += f", {verdict.decision} on {verdict.pairs} pairs, errors {gate.candidate}"
    print(seen)

    assert funnel.gap == 0, seen
    assert funnel.waiting == 0, seen
    assert len(answered) <= funnel.eligible <= len(begun), seen
    assert len(pairs) == len(asked) == funnel.paired, seen  # none twice
    assert len(lost) <= sum(funnel.not_mirrored.values()) + states["set_aside"], seen
    assert {owner for owner, _ in failed} <= {"shadow"}, seen
    assert (verdict.pairs, gate.candidate) == (funnel.paired, 0.0), seen
    shown = replace(look.coverage["new"], texts=funnel.texts)  # a look counts them to 2
    assert shown == funnel, seen
    assert all(pair.candidate.failed or pair.candidate.outcome.answer == pair.query.text for pair in pairs), seen
    assert asked, seen


@contextlib.contextmanager
def storm_of(folder, monkeypatch, *, server):
    """A machine, over SQLite or a server of its own."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(own_cluster()) if server else None  # before it could be taken for one of ours
        url = cluster.url() if server else f"sqlite:///{folder / 'shadow.db'}"
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder))
        monkeypatch.setenv("SHADOWEVAL_STORE", url)
        for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_KILL"):
            monkeypatch.delenv(name, raising=False)
        Path("killed.py").write_text(APP, encoding="utf-8")
        storm = Storm(folder, url, cluster=cluster)
        stack.callback(storm.close)
        yield storm


@pytest.mark.marathon
@pytest.mark.timeout(7200)
@pytest.mark.service("postgresql")
@pytest.mark.parametrize(
    ("victim", "server"),
    [*((victim, False) for victim in VICTIMS), ("worker", True), ("database", True), ("all", False), ("all", True)],
)
def test_two_hundred_kills_lose_double_and_charge_nothing(tmp_path, monkeypatch, victim, server):
    """0 lost and uncounted, 0 doubled, 0 charged to the candidate, which answers every question right."""
    with storm_of(tmp_path, monkeypatch, server=server) as storm:
        storm.run(victim, KILLS)
        storm.drain()
        accounts(storm)


@pytest.mark.marathon
@pytest.mark.timeout(1800)
@pytest.mark.service("postgresql")
@pytest.mark.parametrize("server", [False, True])
def test_a_worker_that_is_begun_and_killed_thirty_times_loses_nothing(tmp_path, monkeypatch, server):
    """A restart storm under load: killed while it starts, or in its first turns; calls come meanwhile."""
    with storm_of(tmp_path, monkeypatch, server=server) as storm:
        for _ in range(30):
            storm.keep_up()
            time.sleep(storm.rng.uniform(0.2, 3))
            storm.running["worker", 0].kill()
            storm.running["worker", 0].wait()
            storm.kills["worker"] += 1
        storm.drain()
        accounts(storm)
