"""A worker rests at random, and lets the incumbent have what both share."""

import asyncio
import http.server
import logging
import math
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from shadoweval import Sandbox
from shadoweval.cli.worker import _resting as resting_in
from shadoweval.codec import encode_envelope
from shadoweval.experiment import Experiment
from shadoweval.mirror.overhead import BINS, bin_name
from shadoweval.records import Envelope
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, MemoryTransport, make_observation, make_query
from shadoweval.worker.health import health_of
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import open_receiver
from shadoweval.worker.resting import Resting, Slowed, forget_slowed, is_rest, read_slowed
from tests.waiting import until

START = datetime(2026, 1, 1, tzinfo=UTC)


def rests(minute, *, name="docs", share=0.1):
    return is_rest(name, START.timestamp() + 60 * minute, share=share)


def resting_of(folder, clock, calls, **options):
    return Resting("docs", folder=folder, share=0.1, durations=lambda: calls, clock=clock, **{"grace": 0, **options})


def pass_minute(resting, clock, calls, *, seconds, count=20, runs=30):
    """One minute in which so many calls take `seconds`, of which the last three quarters are compared."""
    resting.step()
    resting.begun(runs)
    clock.tick(20)
    resting.step()
    calls[bin_name(seconds)] += count
    clock.tick(40)
    resting.step()


def until_level(level, resting, clock, calls, *, harm=2.0, most=600):
    """Minutes until the level is found, at `harm` times the duration while candidates work."""
    for minutes in range(most):
        if resting.found.level >= level:
            return minutes
        works = resting.room(1) > 0 or (resting.left() == 0 and resting.found.level < 3)
        pass_minute(resting, clock, calls, seconds=0.1 * (harm if works else 1.0))
    return most


def test_a_worker_that_was_just_started_works(tmp_path):
    """It rests from its sixth minute on, and compares none before."""
    clock, calls = FixedClock(START), Counter()
    resting = resting_of(tmp_path, clock, calls, grace=300.0)
    for _ in range(5):
        assert resting.left() == 0
        assert resting.room(2) == 2
        pass_minute(resting, clock, calls, seconds=0.1)
    assert resting.found.test.minutes == []

    pass_minute(resting, clock, calls, seconds=0.1)
    assert len(resting.found.test.minutes) == 1


def test_a_worker_goes_by_what_the_mirrors_count_anyway(tmp_path):
    """Durations of control calls and of as many mirrored ones, out of a real spool; who asks for no rest has none."""
    experiment = Experiment(name="docs", candidates={"new": "app:new"}, settings=Settings(home=str(tmp_path / "home")))
    served = experiment.mirror(sample=1.0, control=0.5)(lambda question: question)
    for number in range(50):
        served(f"question {number}")
    receiver = open_receiver(experiment)
    until(lambda: sum(sum(receiver.histogram(kind).values()) for kind in ("mirrored", "control")) >= 50)

    resting = resting_in(experiment, receiver)

    assert resting is not None
    assert sum(resting._durations().values()) == 50
    assert all(0 <= int(name) < BINS for name in resting._durations())
    never = Experiment(name="docs", candidates={"new": "app:new"}, sandbox=Sandbox(rest=0))
    assert resting_in(never, receiver) is None


def test_minutes_of_rest_are_a_tenth_and_the_same_for_all():
    """A function of name and time alone; another experiment has others."""
    drawn = [rests(minute) for minute in range(20_000)]

    assert 0.09 < sum(drawn) / len(drawn) < 0.11
    assert drawn != [rests(minute, name="other") for minute in range(20_000)]
    assert is_rest("docs", START.timestamp() + 60 * drawn.index(True) + 59.9, share=0.1)


class Runs:
    """Candidates that answer at once; notes when each began."""

    capacity = 2

    def __init__(self, clock):
        self.clock, self.began, self.held = clock, [], []
        self.throttles = {}

    async def run(self, envelope, *, arm, attempt=1):
        self.began.append(self.clock())
        return make_observation(envelope.query, arm, place="shadow")

    async def cancel(self):
        """Nothing hangs."""

    def drain(self):
        """Nothing waits."""

    def hold(self, seconds):
        self.held.append(seconds)


def test_no_run_begins_in_a_minute_of_rest(tmp_path):
    """40 minutes of a worker with enough to do: runs begin in the working ones alone; what waits is held."""
    clock = FixedClock(START)
    experiment = Experiment(
        name="docs", candidates={"new": "app:new"}, rerun=0.0, settings=Settings(home=str(tmp_path / "home"))
    )
    transport = MemoryTransport()
    for number in range(1, 201):
        query = make_query(number, entry="app:incumbent")
        envelope = Envelope(experiment="docs", query=query, served=make_observation(query))
        transport.offer(encode_envelope(envelope))

    let_in = []

    class Noted(Resting):
        def room(self, wanted):
            room = super().room(wanted)
            if room:
                let_in.append(clock())
            return room

    async def work(store):
        runs = Runs(clock)
        resting = Noted("docs", folder=tmp_path, share=0.1, durations=Counter, clock=clock, grace=0)
        worker = Worker(experiment, store=store, receiver=transport, pool=runs, resting=resting)
        working = asyncio.create_task(worker.run())
        for _ in range(40):
            before = len(runs.began) + len(runs.held)
            for _ in range(500):  # of two minutes of rest the second holds nothing new
                if len(runs.began) + len(runs.held) > before:
                    break
                await asyncio.sleep(0.01)
            clock.tick(60)
        worker.stop()
        await asyncio.wait_for(working, 60)
        return runs

    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        runs = asyncio.run(work(store))

    def minute(at):
        return int((at - START).total_seconds() // 60)

    began = Counter(map(minute, runs.began))
    assert len(began) > 20
    assert not [at for at in map(minute, let_in) if rests(at)]
    # What was let in at the end of a minute begins a moment later, and here a minute has no length.
    assert all(count <= runs.capacity for at, count in began.items() if rests(at))
    assert all(0 < seconds <= 60 for seconds in runs.held)
    assert runs.held


def test_harm_halves_the_rate_twice_then_stops_it(tmp_path, caplog):
    """Each step on evidence of its own, told once; 30 runs a minute become 15, 7.5 and none."""
    folder, clock, calls = tmp_path, FixedClock(START), Counter()
    resting = resting_of(folder, clock, calls)
    with caplog.at_level(logging.WARNING):
        first = until_level(1, resting, clock, calls)
        most = [resting.found.most]
        assert "1.9x in working minutes" in resting.found.sentence or "2x in working" in resting.found.sentence
        second = until_level(2, resting, clock, calls)
        most.append(resting.found.most)
        third = until_level(3, resting, clock, calls)

    assert (most[0], most[1]) == pytest.approx((15, 7.5), rel=0.05)
    assert max(first, second, third) < 120
    assert resting.room(5) == 0
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    (alarm,) = health_of(folder, "docs", now=clock()).alarms
    assert "no more runs begin" in alarm


def test_a_halved_rate_is_kept_by_its_successor_and_taken_back_by_a_person(tmp_path):
    """The finding outlives the worker; `resume` takes it back, at once also in one that runs."""
    clock, calls = FixedClock(START), Counter()
    until_level(1, resting_of(tmp_path, clock, calls), clock, calls)
    resting = resting_of(tmp_path, clock, calls)
    while rests(int((clock() - START).total_seconds() // 60)):
        clock.tick(60)

    begun = 0
    began_at = clock()
    while clock() - began_at < timedelta(seconds=60):
        count = resting.room(5)
        resting.begun(count)
        begun += count
        clock.tick(0.05)
    assert begun == pytest.approx(resting.found.most, abs=1.1)

    assert forget_slowed(tmp_path, "docs")
    assert not forget_slowed(tmp_path, "docs")
    clock.tick(60)
    while rests(int((clock() - START).total_seconds() // 60)):
        clock.tick(60)
    resting.step()
    assert resting.room(5) == 5
    assert read_slowed(tmp_path, "docs").sentence == ""


@pytest.mark.parametrize("scene", ["by the day", "a deploy", "the full minute"])
def test_without_harm_nothing_is_slowed(tmp_path, scene):
    """Hours of slow noons, of a slow release, of jobs that begin at each full minute of work."""
    clock, calls = FixedClock(START), Counter()
    resting = resting_of(tmp_path, clock, calls)
    for minute in range(240):
        seconds = {"by the day": 0.1 * (1 + 0.5 * math.sin(minute / 80)), "a deploy": 0.1 if minute < 120 else 0.3}
        resting.step()
        calls[bin_name(0.5 if scene == "the full minute" and not rests(minute) else 0.1)] += 5
        clock.tick(20)
        resting.step()
        calls[bin_name(seconds.get(scene, 0.1))] += 20
        clock.tick(40)
        resting.step()

    assert resting.found.level == 0


def test_a_minute_that_was_not_seen_whole_says_nothing(tmp_path):
    """The worker stood still, the clock jumped, the mirrors' folder was removed: no minute is compared."""
    clock, calls = FixedClock(START), Counter({"50": 100})
    resting = resting_of(tmp_path, clock, calls)
    for jump in (20, 100, 3600, -7200, 50, 20):
        resting.step()
        calls["50"] += 50
        clock.tick(jump)
    resting.step()
    clock.tick(20 + 60 - clock().timestamp() % 60)
    resting.step()
    calls.clear()
    clock.tick(60 - clock().timestamp() % 60)
    resting.step()

    assert resting.found.test.minutes == []


def test_a_damaged_file_is_no_finding(tmp_path):
    """Rubbish, or half of it: as if nothing was found."""
    for content in (b"", b"{", b'{"test": {"wealth": [1]}}'):
        (tmp_path / "resting-docs.json").write_bytes(content)
        assert read_slowed(tmp_path, "docs") == Slowed()


@contextmanager
def shared_backend(service):
    """An HTTP server that answers one request at a time, each in `service` seconds; gives a client."""
    one = threading.Semaphore(1)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            with one:
                time.sleep(service)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()

    def ask():
        began = time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/", timeout=60) as answer:
            answer.read()
        return time.perf_counter() - began

    try:
        yield ask
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


@contextmanager
def busy(ask, clients):
    """So many clients of a shadow ask for as long as this lasts."""
    over = threading.Event()

    def work():
        while not over.is_set():
            ask()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_a_backend_that_both_arms_share_is_given_back(tmp_path):
    """A real server of capacity 1; the shadow keeps it as busy as it may. Halved, halved, stopped: quick again."""
    clock, calls = FixedClock(START), Counter()
    resting = resting_of(tmp_path, clock, calls, slack=0.001)
    levels = []
    with shared_backend(0.003) as ask:
        for _ in range(400):
            resting.step()
            works = resting.left() == 0 and resting.found.level < 3
            resting.begun(40)
            clock.tick(20)
            resting.step()
            with busy(ask, 8 >> resting.found.level if works else 0):
                for _ in range(5):
                    calls[bin_name(ask())] += 1
            clock.tick(40)
            resting.step()
            levels.append(resting.found.level)
            if resting.found.level == 3:
                break
        assert levels[-1] == 3
        assert sorted(set(levels)) == [0, 1, 2, 3]
