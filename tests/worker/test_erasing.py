"""Erasure reaches what is on its way to the store."""

import argparse

import pytest

from shadoweval import Experiment, Traffic
from shadoweval.cli.output import Answer
from shadoweval.cli.storage import erase
from shadoweval.settings import Settings
from shadoweval.transport import SpoolTransport
from shadoweval.transport.receiver import wipe_settled
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import open_receiver, open_store
from shadoweval.worker.retention import erase_unit

WORD = "zyxomatosis"


class IdleRuns:
    """Runs nothing."""

    capacity = 0

    async def run(self, envelope, *, arm, attempt=1):
        raise AssertionError

    async def cancel(self):
        """Nothing is in flight."""


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    settings = Settings(home=str(tmp_path / "home"))
    transport = SpoolTransport(settings.spool / "support")
    made = {"name": "support", "candidates": {"new": "app:new"}, "rerun": 0.0}
    yield Experiment(**made, traffic=Traffic(transport=transport), settings=settings)
    transport.close()


@pytest.fixture(name="ask")
def _ask(experiment):
    """Ask as a user; the mirror's process keeps its segment open."""

    @experiment.mirror(control=0.0, unit=lambda question, user: user)
    def answer(question, user):
        return f"about {question}"

    return answer


def lying(home):
    """Files under the experiment's home that hold the word."""
    return sorted(p.name for p in home.rglob("*") if p.is_file() and WORD.encode() in p.read_bytes())


def ingested(experiment, store):
    receiver = open_receiver(experiment)
    worker = Worker(experiment, store=store, receiver=receiver, pool=IdleRuns())
    while worker.ingest():
        pass
    receiver.close()
    return worker.counts["envelopes"]


def units(store):
    return sorted(task.envelope.query.unit for task in store.lease("support", limit=99, seconds=60, owner="w"))


def test_what_waits_in_the_spool_is_erased_too(experiment, ask):
    """No worker has come yet, and the mirror still writes: the words leave the store and the spool's open segment."""
    for number in range(3):
        ask(f"{WORD} {number}", user="ann")
    ask("opening hours", user="bob")
    home = experiment.settings.folder
    assert lying(home)

    with open_store(experiment) as store:
        assert erase_unit(experiment, "ann", store=store) == 3
        ask("parking", user="bob")
        assert ingested(experiment, store) == 1
        assert units(store) == ["bob", "bob"]

    assert lying(home) == []


def test_the_command_says_how_many_queries_it_erased(experiment, ask, capsys):
    """What no worker had fetched yet is among them."""
    ask(WORD, user="ann")
    assert erase(argparse.Namespace(answer=Answer("erase", None), experiment=experiment, unit="ann", before=None)) == 0
    assert capsys.readouterr().out == "erased 1 queries of unit 'ann'\n"
    assert lying(experiment.settings.folder) == []


def test_an_erased_user_may_come_back(experiment, ask):
    """What is asked after the erasure is a new query."""
    ask(WORD, user="ann")
    with open_store(experiment) as store:
        erase_unit(experiment, "ann", store=store)
        ask("opening hours", user="ann")
        assert ingested(experiment, store) == 1
        assert units(store) == ["ann"]


def test_a_running_worker_drops_what_comes_of_an_erased_user(experiment, ask):
    """The worker holds the spool, so the erasure can't read it; the worker drops and overwrites what it reads then."""
    ask("parking", user="bob")
    receiver = open_receiver(experiment)
    with open_store(experiment) as store:
        worker = Worker(experiment, store=store, receiver=receiver, pool=IdleRuns())
        worker.ingest()
        ask(WORD, user="ann")

        assert erase_unit(experiment, "ann", store=store) == 0
        while worker.ingest():
            pass

        assert units(store) == ["bob"]
    receiver.close()
    assert lying(experiment.settings.folder) == []


def test_wiping_takes_nothing_that_was_not_settled(experiment, ask):
    """Frames after the cursor come whole, before and after more is written; wiping again finds the same."""
    ask("first", user="bob")
    with open_store(experiment) as store:
        assert ingested(experiment, store) == 1
        ask("second", user="bob")
        assert wipe_settled(experiment.spool) == wipe_settled(experiment.spool) > 0
        ask("third", user="bob")
        assert ingested(experiment, store) == 2
        assert store.funnel("support", "new").failed == {}


def test_a_lost_cursor_costs_no_more_than_a_line(experiment, ask):
    """Where the cursor is gone the overwritten stretch is set aside, and what follows is read."""
    ask("first", user="bob")
    with open_store(experiment) as store:
        ingested(experiment, store)
        wipe_settled(experiment.spool)
        (experiment.spool / "cursor.json").unlink()
        ask("second", user="bob")
        assert ingested(experiment, store) == 1
        assert len(units(store)) == 2
