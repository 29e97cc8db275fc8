"""What a worker looks after beside its work, and what it leaves alone."""

import asyncio

import pytest

from shadoweval import Experiment, Traffic
from shadoweval.cli.status import status_lines
from shadoweval.codec import encode_envelope
from shadoweval.records import INCUMBENT, Envelope, Failure, Usage
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, MemoryTransport, make_observation, make_query
from shadoweval.traffic.audit import audit_trail
from shadoweval.traffic.gauges import Backlog, Throttling
from shadoweval.worker.loop import Worker
from shadoweval.worker.monitor import Feedback, Monitor


class Runs:
    """Each run takes so many tokens, and some wait until they are cancelled."""

    capacity = 2

    def __init__(self, *, tokens=0, hang=False):
        self.tokens, self.hang = tokens, hang
        self.ran: list[str] = []
        self.throttles: dict[str, int] = {}
        self._ended = asyncio.Event()

    async def run(self, envelope, *, arm, attempt=1):
        self.ran.append(arm)
        usage = Usage(input_tokens=self.tokens)
        if self.hang:
            await self._ended.wait()
            return make_observation(envelope.query, arm, place="shadow", failure=Failure(kind="killed"), usage=usage)
        return make_observation(envelope.query, arm, place="shadow", usage=usage)

    async def cancel(self):
        self._ended.set()

    def drain(self):
        self._ended.set()


@pytest.fixture(name="make")
def _make(tmp_path):
    def make(**changes):
        settings = Settings(home=str(tmp_path / "home"))
        given = {"name": "docs", "candidates": {"new": "app:new"}, "rerun": 1.0, "settings": settings}
        return Experiment(**{**given, **changes})

    return make


@pytest.fixture(name="store")
def _store(tmp_path):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=FixedClock()) as store:
        yield store


def filled(count):
    transport = MemoryTransport()
    for number in range(1, count + 1):
        query = make_query(number, entry="app:incumbent")
        transport.offer(encode_envelope(Envelope(experiment="docs", query=query, served=make_observation(query))))
    return transport


def worked(experiment, store, runs, *, count=0, until_idle=True):
    worker = Worker(experiment, store=store, receiver=filled(count), pool=runs)
    return asyncio.run(asyncio.wait_for(worker.run(until_idle=until_idle), 60))


def test_a_spent_budget_holds_the_backlog(make, store, caplog):
    """A hundred queries and tokens for ten runs: it stops at the runs in flight, re-runs too, and says so once."""
    runs = Runs(tokens=10)

    worked(make(traffic=Traffic(budget={"tokens": 100})), store, runs, count=100)

    assert 10 <= len(runs.ran) < 10 + Runs.capacity
    assert set(runs.ran) == {"new", INCUMBENT}
    told = [record for record in caplog.records if "budget is spent" in record.message]
    assert len(told) == 1
    assert "of 100 tokens" in told[0].why
    assert store.funnel("docs", "new").waiting > 80


def test_a_budget_that_was_spent_before_runs_nothing(make, store):
    """Whoever spent it, the worker begins nothing."""
    experiment = make(traffic=Traffic(budget={"usd": 1.0}))
    experiment.admission.budget.charge(usd=1.0)
    runs = Runs()

    counts = worked(experiment, store, runs, count=5)

    assert runs.ran == []
    assert counts["envelopes"] == 5


def test_tokens_without_a_price_are_told_once(make, store, caplog):
    """A budget in dollars that nobody can count is said to hold nothing."""
    worked(make(traffic=Traffic(budget={"usd": 1.0})), store, Runs(tokens=10), count=5)

    told = [record for record in caplog.records if "nobody said what they cost" in record.message]
    assert len(told) == 1


def test_calls_that_are_used_up_are_still_run(make, store):
    """A budget of five calls is five calls with their candidates."""
    experiment = make(traffic=Traffic(budget={"calls": 5}))
    experiment.admission.budget.charge(calls=5)
    runs = Runs()

    worked(experiment, store, runs, count=5)

    assert len(runs.ran) == 10


def test_what_a_killed_run_used_is_charged(make, store):
    """Its observation is thrown away, its tokens are gone."""
    experiment = make(traffic=Traffic(budget={"tokens": 1_000}))

    async def scene():
        runs = Runs(tokens=10, hang=True)
        worker = Worker(experiment, store=store, receiver=filled(2), pool=runs)
        working = asyncio.create_task(worker.run())
        while len(runs.ran) < 2:
            await asyncio.sleep(0.01)
        worker.stop()
        await working

    asyncio.run(asyncio.wait_for(scene(), 60))

    assert experiment.admission.budget.spending().tokens == 20


def test_a_touched_kill_file_ends_what_is_in_flight_and_is_written_down(make, store, tmp_path):
    """Nobody called `kill`: the worker ends the runs and adds the line, and another when the file is gone."""
    experiment = make()
    home = tmp_path / "home"

    async def scene():
        receiver, runs = filled(2), Runs(hang=True)
        monitor = Monitor(experiment, counters=receiver.counters)
        worker = Worker(experiment, store=store, receiver=receiver, pool=runs, monitor=monitor)
        working = asyncio.create_task(worker.run())
        while len(runs.ran) < 2:
            await asyncio.sleep(0.01)
        (home / "kill").mkdir(parents=True)
        (home / "kill" / "docs").touch()
        while worker.counts["killed"] < 2 or not audit_trail(home):
            await asyncio.sleep(0.01)
        (home / "kill" / "docs").unlink()
        while len(audit_trail(home)) < 2:
            await asyncio.sleep(0.01)
        worker.stop()
        await working

    asyncio.run(asyncio.wait_for(scene(), 60))

    assert [(line["who"], line["old"], line["new"]) for line in audit_trail(home)] == [
        ("unknown", "running", "killed"),
        ("unknown", "killed", "running"),
    ]


def test_rate_limits_that_candidates_meet_are_told_once(make, tmp_path):
    """The mirrors read what the pool counted since the last step."""
    experiment = make()
    feedback, mirror = Feedback(experiment), Throttling("docs", home=tmp_path / "home")

    for met in (0, 4, 4, 7):
        feedback.step(throttles=met, oldest=None)

    assert mirror() == pytest.approx(7, rel=0.2)


def test_the_backlog_is_told(make, tmp_path):
    """Age of the oldest query in flight, and how full the spool is; every five seconds."""
    clock = FixedClock()
    experiment = make()
    experiment.spool.mkdir(parents=True)
    (experiment.spool / "a.seg").write_bytes(bytes(1024))
    feedback = Feedback(experiment, clock=clock, seconds=clock.seconds)
    backlog = Backlog("docs", home=tmp_path / "home")
    asked = clock()

    clock.tick(100)
    feedback.step(throttles=0, oldest=asked)
    clock.tick(1)
    feedback.step(throttles=0, oldest=None)
    assert backlog.age() == 100.0
    assert 0 < backlog.fill() < 0.001

    clock.tick(5)
    feedback.step(throttles=0, oldest=None)
    assert backlog.age() == 0.0


def test_a_home_that_cannot_be_written_stops_no_worker(make, tmp_path, caplog):
    """One warning, and the work goes on."""
    (tmp_path / "home").write_text("in the way", encoding="utf-8")
    feedback = Feedback(make())

    for met in (1, 2, 3):
        feedback.step(throttles=met, oldest=None)

    assert [record.message for record in caplog.records] == ["the mirrors can't be told how it goes"]


def test_silence_is_in_the_log_once(make, caplog):
    """A worker listens too: a mirror whose calls can't be copied is told once, and again after it was mended."""
    clock = FixedClock()
    counters = {"eligible": 10, "mirrored": 10}
    monitor = Monitor(make(), counters=lambda: counters, seconds=clock.seconds)

    for broken in (0, 50, 100, 100):
        counters = {"eligible": 10 + broken, "mirrored": 10, "uncopyable": broken}
        monitor.step(throttles=0, oldest=None)
        clock.tick(61)

    (record,) = [record for record in caplog.records if record.message == "nothing is mirrored"]
    assert "uncopyable (50)" in record.alarm


def test_status_says_when_the_spool_cannot_be_written(make, store):
    """What serves calls and loses every one of them is an alarm, not a row of zeros."""
    experiment = make()
    assert not [line for line in status_lines(experiment, store=store, receiver=filled(1)) if "ALARM" in line]

    experiment.spool.parent.mkdir(parents=True, exist_ok=True)
    experiment.spool.write_text("in the way")

    (alarm,) = (line for line in status_lines(experiment, store=store, receiver=filled(1)) if "ALARM" in line)
    assert str(experiment.spool) in alarm
