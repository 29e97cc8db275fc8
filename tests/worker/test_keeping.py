"""Finished runs and a store that is away, busy, or can't hold one of them."""

import asyncio
import sqlite3
from typing import ClassVar

import msgspec
import pytest

from shadoweval.errors import StoreError
from shadoweval.experiment import Experiment
from shadoweval.records import Envelope
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import MemoryTransport, make_observation, make_query
from shadoweval.worker import keeping
from shadoweval.worker.loop import Worker


class Runs:
    """Answers each run once; `odd` says what else it does for a query."""

    capacity = 4
    throttles: ClassVar[dict[str, int]] = {}

    def __init__(self, odd=None):
        self.ran, self._odd = [], odd

    async def run(self, envelope, *, arm, attempt=1):
        self.ran.append((envelope.id, attempt))
        observation = make_observation(envelope.query, arm, place="shadow")
        return observation if self._odd is None else self._odd(observation)

    def drain(self):
        """Nothing waits for its turn."""


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    return Experiment(name="docs", candidates={"new": "app:new"}, rerun=0.0, settings=Settings(home=tmp_path / "home"))


@pytest.fixture(name="store")
def _store(tmp_path):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}") as store:
        queries = [make_query(number, entry="app:old") for number in range(1, 6)]
        store.add_envelopes(
            [Envelope(experiment="docs", query=query, served=make_observation(query)) for query in queries],
            arms={query.id: ["new"] for query in queries},
        )
        yield store


def work(experiment, store, runs):
    worker = Worker(experiment, store=store, receiver=MemoryTransport(), pool=runs)
    return asyncio.run(worker.run(until_idle=True))


def test_a_run_that_the_store_refuses_for_a_moment_is_kept_and_not_paid_again(experiment, store, monkeypatch):
    """Whatever the store says the first three times, each query is run once and stored."""
    add, refusals = store.add_observation, []

    def busy(observation):
        if len(refusals) < 3:
            refusals.append(observation.query_id)
            raise StoreError("the server is restarting")
        return add(observation)

    monkeypatch.setattr(store, "add_observation", busy)
    runs = Runs()
    counts = work(experiment, store, runs)
    assert sorted(runs.ran) == [(f"q-{number}", 1) for number in range(1, 6)]
    assert counts["observations"] == store.funnel("docs", "new").paired == 5


def test_a_locked_database_is_waited_for(experiment, store, tmp_path, monkeypatch):
    """Another process writes while a run ends: the run is stored once that one is done."""
    monkeypatch.setattr(keeping, "_FIRST", 0.01)
    other = sqlite3.connect(tmp_path / "s.db", isolation_level=None, check_same_thread=False)

    def locking(observation):
        if observation.query_id == "q-1":
            other.execute("BEGIN IMMEDIATE")
            asyncio.get_running_loop().call_later(0.05, other.execute, "COMMIT")
        return observation

    with store._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=1")
    runs = Runs(locking)

    async def one():
        (task,) = store.lease("docs", limit=1, seconds=60, owner="w")
        worker = Worker(experiment, store=store, receiver=MemoryTransport(), pool=runs)
        await worker._run(task)
        return worker.counts

    counts = asyncio.run(one())
    other.close()
    assert counts["observations"] == 1
    assert len(runs.ran) == 1


def test_what_the_store_cannot_hold_is_the_shadows_failure(experiment, store):
    """One run costs itself, by a cause that is counted and shown; its live writes stay an incident."""

    def odd(observation):
        bad = observation.query_id == "q-3"
        return msgspec.structs.replace(observation, duration=float("nan"), live_writes=2) if bad else observation

    runs = Runs(odd)
    counts = work(experiment, store, runs)
    assert len(runs.ran) == 5
    assert counts["ended_by_shadow"] == 1
    pairs = {pair.id: pair.candidate for pair in store.pairs("docs", "new")}
    assert [each for each, run in pairs.items() if run.failed] == ["q-3"]
    assert pairs["q-3"].owner == "shadow"
    assert pairs["q-3"].failure.cause == "the store can't hold what it did"
    assert pairs["q-3"].live_writes == 2


def test_a_task_over_which_our_own_code_fails_is_the_shadows(experiment, store):
    """It is not tried for ever, and not charged to the candidate."""

    def odd(observation):
        if observation.query_id == "q-2":
            raise RecursionError("too deep")
        return observation

    counts = work(experiment, store, Runs(odd))
    assert (counts["observations"], counts["ended_by_shadow"]) == (5, 1)
    (failed,) = [pair.candidate for pair in store.pairs("docs", "new") if pair.candidate.failed]
    assert (failed.owner, failed.failure.cause) == ("shadow", "nothing was run: RecursionError")


def test_a_stopped_worker_waits_no_longer_than_told(experiment, store, monkeypatch):
    """A store that stays away can't hold up the end; the task's lease runs out, and it is run again."""
    monkeypatch.setattr(keeping, "_AFTER_STOP", 0.05)
    monkeypatch.setattr(keeping, "_FIRST", 0.01)
    monkeypatch.setattr(store, "add_observation", _away)
    (task,) = store.lease("docs", limit=1, seconds=60, owner="w")
    worker = Worker(experiment, store=store, receiver=MemoryTransport(), pool=Runs())
    worker._stop.set()
    with pytest.raises(StoreError):
        asyncio.run(worker._run(task))


def _away(_observation):
    raise StoreError("no server")
