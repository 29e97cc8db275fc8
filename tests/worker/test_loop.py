"""The worker."""

import asyncio
import os
import subprocess
import sys

import pytest

from shadoweval.codec import encode_envelope
from shadoweval.experiment import Experiment
from shadoweval.protocols import Task
from shadoweval.records import INCUMBENT, Envelope, Failure
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, MemoryTransport, make_observation, make_query
from shadoweval.worker.ingestion import arms_of
from shadoweval.worker.loop import Worker
from shadoweval.worker.ownership import place_of


class FakeRuns:
    """Answers at once, or hangs until cancelled."""

    capacity = 3

    def __init__(self, *, hang=False):
        self.ran: list[tuple[str, str, int]] = []
        self.throttles = {"new": 0}
        self._hang = hang
        self._ended = asyncio.Event()

    async def run(self, envelope, *, arm, attempt=1):
        self.ran.append((envelope.id, arm, attempt))
        if self._hang:
            await self._ended.wait()
            return make_observation(envelope.query, arm, place="shadow", failure=Failure(kind="killed"))
        return make_observation(envelope.query, arm, place="shadow")

    async def cancel(self):
        self._ended.set()

    def drain(self):
        """Nothing waits for its turn."""


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    return Experiment(
        name="docs",
        candidates={"new": "app:new", "newer": "app:newer"},
        rerun=0.0,
        settings=Settings(home=str(tmp_path / "home")),
    )


@pytest.fixture(name="clock")
def _clock():
    return FixedClock()


@pytest.fixture(name="store")
def _store(tmp_path, clock):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        yield store


def envelope(number):
    query = make_query(number, entry="app:incumbent")
    return Envelope(experiment="docs", query=query, served=make_observation(query))


def filled(count):
    transport = MemoryTransport()
    for number in range(1, count + 1):
        transport.offer(encode_envelope(envelope(number)))
    return transport


def worked(experiment, store, transport, runs):
    return asyncio.run(Worker(experiment, store=store, receiver=transport, pool=runs).run(until_idle=True))


def test_every_arm_runs_every_envelope_once(experiment, store):
    """All candidates see all queries, and nothing is left in the transport."""
    transport, runs = filled(20), FakeRuns()

    counts = worked(experiment, store, transport, runs)

    assert sorted(runs.ran) == sorted((f"q-{n}", arm, 1) for n in range(1, 21) for arm in ("new", "newer"))
    assert (counts["envelopes"], counts["observations"]) == (20, 40)
    assert transport.frames == []
    assert len(list(store.pairs("docs", "new"))) == 20


def test_the_same_frames_again_change_nothing(experiment, store):
    """An envelope that comes twice is kept once and run once."""
    worked(experiment, store, filled(5), FakeRuns())
    runs = FakeRuns()

    counts = worked(experiment, store, filled(5), runs)

    assert runs.ran == []
    assert counts["envelopes"] == 0
    assert store.funnel("docs", "new").paired == 5


def test_damaged_frames_are_set_aside_and_the_rest_goes_on(experiment, store):
    """A frame that can't be read is kept with its reason and counted."""
    transport = filled(3)
    transport.frames.insert(1, b"rubbish")

    counts = worked(experiment, store, transport, FakeRuns())

    assert (counts["set_aside"], counts["envelopes"]) == (1, 3)


def test_a_kill_ends_what_is_in_flight_and_keeps_it_open(experiment, store):
    """After a kill nothing runs; after resume the same tasks run, and the broken-off try does not count."""

    async def scenario():
        runs = FakeRuns(hang=True)
        worker = Worker(experiment, store=store, receiver=filled(2), pool=runs)
        working = asyncio.create_task(worker.run())
        while len(runs.ran) < 3:
            await asyncio.sleep(0.01)
        experiment.kill("bad answers")
        while worker.counts["killed"] < 3:
            await asyncio.sleep(0.01)
        started = len(runs.ran)
        await asyncio.sleep(0.3)
        assert len(runs.ran) == started
        worker.stop()
        await working

    asyncio.run(asyncio.wait_for(scenario(), 120))
    experiment.resume()
    runs = FakeRuns()
    worked(experiment, store, MemoryTransport(), runs)

    assert {attempt for _, _, attempt in runs.ran} == {1}
    assert store.funnel("docs", "new").paired == 2


def test_stop_finishes_what_is_in_flight(experiment, store):
    """A worker that is told to stop takes nothing new and loses nothing it began."""

    async def scenario():
        runs = FakeRuns(hang=True)
        worker = Worker(experiment, store=store, receiver=filled(2), pool=runs)
        working = asyncio.create_task(worker.run())
        while len(runs.ran) < 3:
            await asyncio.sleep(0.01)
        worker.stop()
        await runs.cancel()
        return await working

    counts = asyncio.run(asyncio.wait_for(scenario(), 120))

    assert counts["killed"] == 3


def test_takes_over_from_a_dead_worker_at_once(experiment, store):
    """What a worker of this kernel had leased when it was killed is not waited for."""
    dead = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    place = place_of(dead.pid)
    dead.communicate()
    Worker(experiment, store=store, receiver=filled(2), pool=FakeRuns()).ingest()
    store.sign("docs", "dead", place=place, definition="")
    assert len(store.lease("docs", limit=10, seconds=3600, owner="dead")) == 4
    runs = FakeRuns()

    worked(experiment, store, MemoryTransport(), runs)

    assert {attempt for _, _, attempt in runs.ran} == {2}
    assert store.funnel("docs", "new").paired == 2
    assert store.signs("docs") == []


def test_leaves_a_living_workers_leases_alone(experiment, store):
    """A second worker does not take what the first is at, whatever the clock says of its sign."""
    Worker(experiment, store=store, receiver=filled(2), pool=FakeRuns()).ingest()
    store.sign("docs", "living", place=place_of(os.getpid()), definition="")
    store.lease("docs", limit=10, seconds=3600, owner="living")
    runs = FakeRuns()

    worked(experiment, store, MemoryTransport(), runs)

    assert runs.ran == []


@pytest.mark.parametrize("rival", [False, True])
def test_tasks_of_another_definitions_arms_are_left_to_its_worker(experiment, store, rival):
    """In a deploy both are alive; once nobody is left who knows an arm, its tasks are closed as the shadow's."""
    put = envelope(1)
    store.add_envelopes([put], arms={put.id: ["new", "newer", "newest"]})
    if rival:
        store.sign("docs", "rival", place="", definition="with newest")
    runs = FakeRuns()

    worked(experiment, store, MemoryTransport(), runs)

    assert {arm for _, arm, _ in runs.ran} == {"new", "newer"} | (set() if rival else {"newest"})


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_the_incumbent_runs_again_on_its_share(tmp_path, share):
    """The share of re-run queries is what was asked for, and the query's id alone decides."""
    experiment = Experiment(name="docs", candidates={"new": "a:b"}, rerun=share)
    arms = [arms_of(experiment, envelope(n)) for n in range(1, 2_001)]

    again = sum(INCUMBENT in a for a in arms)

    assert abs(again / 2_000 - share) < 0.04
    assert arms == [arms_of(experiment, envelope(n)) for n in range(1, 2_001)]
    assert all(a[0] == "new" for a in arms)


def test_release_and_reopen(store):
    """A task given back is open with its try uncounted; one whose owner died is open with the try counted."""
    store.add_envelopes([envelope(1)], arms={"q-1": ["new"]})
    (task,) = store.lease("docs", limit=1, seconds=60, owner="a:1")
    store.release(task)
    (again,) = store.lease("docs", limit=1, seconds=60, owner="b:2")
    assert again == Task(envelope=again.envelope, arm="new", attempt=1)
    assert set(store.owners("docs")) == {"b:2"}

    assert store.reopen("docs", "b:2") == 1
    assert store.reopen("docs", "b:2") == 0
    assert store.lease("docs", limit=1, seconds=60, owner="c:3")[0].attempt == 2
