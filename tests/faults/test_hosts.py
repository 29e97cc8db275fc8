"""Hosts that share one store: homes, workers, looks, erasures of several at once, under one name and other clocks."""

import collections
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta

import msgspec
import pytest

from shadoweval.errors import StoreError
from shadoweval.records import Envelope, Labels, PairScore, Scored
from shadoweval.store import SqlStore, engine
from shadoweval.testing import NOON, make_observation, make_query
from tests.waiting import until

APP = """
import os, socket, sys, time
from datetime import timedelta
from pathlib import Path

socket.gethostname = lambda: "web-1"  # as all containers of one name
import shadoweval.clock
hours_off, right = float(os.environ["HOURS_OFF"]), shadoweval.clock.utc_now
shadoweval.clock.utc_now = lambda: right() + timedelta(hours=hours_off)
import shadoweval.worker.ownership as ownership
ownership.place_of = lambda process: f"kernel-{os.environ['HOST']} pid:[1] {process} 0"
ownership._EVERY, ownership._SILENT, ownership._GAP = 0.2, float(os.environ.get("SILENT", 60)), 10.0

from shadoweval import Experiment, Limits, Sandbox, no_worse
from shadoweval.scoring import errors
from shadoweval.cli.parser import main

toy = Experiment(
    name="toy",
    candidates={"new": "hosts:new"},
    rerun=0.0,
    scorers=[errors()],
    gates=[no_worse("errors", by=0.1)],
    sandbox=Sandbox(guard=False, limits=Limits(seconds=300)),
)

def old(question):
    return question

def new(question):
    with open(os.environ["RUNS"], "a") as file:
        file.write(f"{question} began {time.monotonic()}\\n")
    time.sleep(float(os.environ.get("TAKES", "0")))
    with open(os.environ["RUNS"], "a") as file:
        file.write(f"{question} ended {time.monotonic()}\\n")
    return question

served = toy.mirror(1.0, control=0.0, unit=lambda question: "user-" + question[-1])(old)

def serve(count):
    for n in range(count):
        served(f"question {os.environ['HOST']} {n}")
        time.sleep(0.005)

def look(folder):
    from shadoweval.evaluation.evaluate import evaluate
    while not (Path(folder) / "over").exists():
        evaluate(toy)
        time.sleep(0.2)

def forget(folder, *units):
    from shadoweval.worker.opening import open_store
    with open_store(toy) as store:
        while not (Path(folder) / "over").exists():
            for unit in units:
                store.erase(unit)
            store.purge(right() - timedelta(days=1))
            time.sleep(0.2)
"""


OFF = {"a": "0.17", "b": "-0.17"}
"""Hosts and the hours by which their clocks are wrong."""


class Host:
    """A home and its processes, all of which say what they have to say into one file."""

    def __init__(self, folder, name, *, url, **settings):
        self.folder, self.name = folder, name
        self.started = []
        self.log = folder / f"{name}.log"
        self.environment = {
            **os.environ, "PYTHONPATH": str(folder), "SHADOWEVAL_HOME": str(folder / name), "SHADOWEVAL_STORE": url,
            "HOST": name, "RUNS": str(folder / "runs"), **settings,
        }  # fmt: skip

    def start(self, call):
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", f"import hosts, sys; sys.exit(hosts.{call})"]
            self.started.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, cwd=self.folder)
            )
        return self.started[-1]

    def worker(self, *options):
        return self.start(f"main(['worker', 'hosts:toy', *{list(options)!r}])")


@pytest.fixture(name="host")
def _host(tmp_path, url):
    (tmp_path / "hosts.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    hosts = []

    def host(name, **settings):
        if url.startswith("sqlite"):  # which one host has, with one clock
            settings["HOURS_OFF"] = "0"
        hosts.append(Host(tmp_path, name, url=url, **settings))
        return hosts[-1]

    yield host
    for process in (each for host in hosts for each in host.started):
        process.kill()
        process.wait()


def runs_of(folder):
    """By question, when its runs began and ended."""
    runs = collections.defaultdict(list)
    for line in (folder / "runs").read_text().splitlines() if (folder / "runs").exists() else ():
        question, what, at = line.rsplit(" ", 2)
        runs[question].append((float(at), what))
    return runs


def ended(process, *, seconds=180):
    assert process.wait(timeout=seconds) == 0


@pytest.mark.marathon
def test_two_hosts_add_up_and_disturb_nobody(host, tmp_path, url):
    """Mirrors, workers, looks, an erasure and a purge of two hosts, their clocks 20 minutes apart: all adds up."""
    hosts = [host(name, HOURS_OFF=off) for name, off in OFF.items()]
    count = 40
    workers = [each.worker() for each in hosts]
    serving = [each.start(f"serve({count})") for each in hosts]
    others = [each.start(f"look({str(tmp_path)!r})") for each in hosts]
    others.append(hosts[0].start(f"forget({str(tmp_path)!r}, 'user-3')"))
    for process in serving:
        ended(process)
    with SqlStore(url) as store:
        until(lambda: store.funnel("toy", "new").eligible and not store.funnel("toy", "new").waiting)
    (tmp_path / "over").touch()
    for process in others:
        ended(process)
    for process in workers:
        process.send_signal(signal.SIGTERM)
    for process in workers:
        ended(process)

    said = "".join(each.log.read_text() for each in hosts)
    with SqlStore(url) as store:
        store.erase("user-3")
        funnel = store.funnel("toy", "new")
        pairs = [pair.query.text for pair in store.pairs("toy", "new")]
    assert "deadlock" not in said
    assert "foreign key" not in said.lower()
    assert "set aside" not in said
    assert "Traceback" not in said
    erased = 2 * count // 10
    assert (funnel.eligible, funnel.mirrored, funnel.paired) == (2 * count - erased,) * 3
    assert (funnel.waiting, funnel.gap, funnel.failed) == (0, 0, {})
    assert len(set(pairs)) == len(pairs)
    assert not any(question.endswith("3") for question in pairs)
    assert {len(times) for times in runs_of(tmp_path).values()} == {2}, "each ran once, to its end"


@pytest.mark.slow
def test_leases_of_a_host_that_died_are_taken_over_and_no_others(host, tmp_path, url):
    """A worker that is killed in mid-run gives no more signs; another host takes its runs over, and no living one's."""
    dying, living = (
        host(name, HOURS_OFF=off, SILENT="4", TAKES=takes)
        for (name, off), takes in zip(OFF.items(), ("600", "6"), strict=True)
    )
    workers = []
    for each in (dying, living):
        ended(each.start("serve(2)"))
        workers.append(each.worker("--processes", "1"))  # which has two tasks in flight
        until(lambda: len(runs_of(tmp_path)) == len(workers))
    (begun,) = (question for question in runs_of(tmp_path) if " a " in question)
    with SqlStore(url) as store:
        until(lambda: began(tmp_path, "ended") == {"question b 0": 1, "question b 1": 1})
        assert set(began(tmp_path).values()) == {1}, "the first worker is slow, and lives"
        workers[0].kill()
        workers[0].wait()
        until(lambda: store.funnel("toy", "new").paired == 4)
        signs = store.signs("toy")
    workers[1].send_signal(signal.SIGTERM)
    ended(workers[1])

    assert began(tmp_path) == {f"question {name} {n}": 1 for name in "ab" for n in range(2)} | {begun: 2}
    assert len(signs) == 1, "one that is gone is forgotten"
    with SqlStore(url) as store:
        assert store.signs("toy") == []


def began(folder, what="began"):
    """How often each question's run began, or ended."""
    counts = {question: sum(each == what for _, each in times) for question, times in runs_of(folder).items()}
    return {question: count for question, count in counts.items() if count}


class Stress:
    """What hosts do to one store, as fast as they can, until the time is over."""

    def __init__(self, url, *, seconds):
        self.url, self.until = url, time.monotonic() + seconds
        self.errors, self.done, self.jobs = [], collections.Counter(), set()
        self.envelopes = [self._envelope(n) for n in range(400)]

    @staticmethod
    def _envelope(number):
        query = make_query(number, entry="app:old", unit=f"user-{number % 20}")
        return Envelope(experiment="docs", query=query, served=make_observation(query))

    def run(self, *jobs):
        self.jobs = {job.__name__ for job in jobs}
        threads = [threading.Thread(target=self._work, args=(job, number)) for number, job in enumerate(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
            assert not thread.is_alive()

    def _work(self, job, number):
        draw = random.Random(number)
        with SqlStore(self.url) as store:
            while time.monotonic() < self.until or (
                self.jobs - self.done.keys() and time.monotonic() < self.until + 60
            ):
                try:
                    job(store, draw)
                    self.done[job.__name__] += 1
                except StoreError as error:
                    self.errors.append(f"{job.__name__}: {error}")

    def add(self, store, draw):
        some = draw.sample(self.envelopes, 20)
        store.add_envelopes(some, arms={each.id: ["new", "newer"] for each in some})

    def shadow(self, store, draw):
        for task in store.lease("docs", limit=5, seconds=draw.choice([0, 60]), owner=f"w{draw.random()}"):
            if draw.random() < 0.2:
                store.release(task)
            else:
                store.add_observation(make_observation(task.envelope.query, task.arm, place="shadow"))
        for owner in store.owners("docs"):
            if draw.random() < 0.1:
                store.reopen("docs", owner)

    def look(self, store, draw):
        arm = draw.choice(["new", "newer"])
        look = store.look("docs", arm, purpose="stress")
        ids = [pair.id for pair in look.pairs]
        draw.shuffle(ids)
        score = PairScore(metric="errors", query_id="", incumbent=Scored(0.0), candidate=Scored(0.0))
        store.add_scores("docs", arm, [msgspec.structs.replace(score, query_id=each) for each in ids])
        look.save(b"state", purpose="stress")

    def label(self, store, draw):
        some = draw.sample(self.envelopes, 10)
        store.add_labels({each.query.key: Labels(reference=str(draw.random())) for each in some})

    def count(self, store, draw):
        counters = {"eligible": draw.randrange(9), "mirrored": 1, "full": 1}
        store.add_counters("docs", f"home-{draw.randrange(2)}", counters)

    def forget(self, store, draw):
        store.erase(f"user-{draw.randrange(20)}")
        store.purge(NOON + timedelta(seconds=draw.randrange(40)))


def test_no_order_of_writers_ends_in_a_deadlock(url, monkeypatch):
    """Nothing is tried again here: the order of locks alone keeps writers, looks and erasures apart."""
    if url.startswith("sqlite"):
        pytest.skip("SQLite lets one write at a time, and whoever waits in vain for ten seconds says so")
    monkeypatch.setattr(engine, "_TURNS", 0)
    stress = Stress(url, seconds=float(os.environ.get("STRESS", "3")))
    jobs = (stress.add, stress.add, stress.shadow, stress.shadow, stress.look, stress.look, stress.label, stress.label,
            stress.count, stress.forget)  # fmt: skip
    stress.run(*jobs)
    assert stress.errors == []
    assert set(stress.done) == stress.jobs
