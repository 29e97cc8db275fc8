"""What is older than the settings allow is purged."""

import argparse
import asyncio
import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import Experiment, Traffic
from shadoweval.cli.output import Answer
from shadoweval.cli.storage import purge
from shadoweval.errors import SettingsError, ShadowEvalError
from shadoweval.records import Envelope
from shadoweval.settings import Settings
from shadoweval.testing import MemoryTransport, make_observation, make_query
from shadoweval.transport import SpoolTransport
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import open_receiver, open_store
from shadoweval.worker.retention import Retention, kept_since

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
WORD = b"zyxomatosis"


class IdleRuns:
    """Runs nothing."""

    capacity = 0

    async def run(self, envelope, *, arm, attempt=1):
        raise AssertionError

    async def cancel(self):
        """Nothing is in flight."""

    def drain(self):
        """Nothing waits."""


class Hand:
    """A clock of hours, set by hand."""

    def __init__(self):
        self.hours = 0.0

    def now(self):
        return NOON + dt.timedelta(hours=self.hours)

    def seconds(self):
        return 3600 * self.hours


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    settings = Settings(home=str(tmp_path / "home"), retention="24h")
    return Experiment(name="docs", candidates={"new": "app:new"}, rerun=0.0, settings=settings)


@pytest.fixture(name="store")
def _store(experiment):
    with open_store(experiment) as store:
        yield store


def ask(store, *hours):
    for hour in hours:
        query = make_query(hour, asked_at=NOON + dt.timedelta(hours=hour))
        store.add_envelopes([Envelope(experiment="docs", query=query, served=make_observation(query))], arms={})


def kept(store):
    return store.funnel("docs", "new").mirrored


def test_what_is_older_than_the_settings_allow_goes_every_hour(experiment, store):
    """At once, then when an hour is over, not between; a query stays for as long as the settings say."""
    hand = Hand()
    retention = Retention(experiment, store=store, clock=hand.now, monotonic=hand.seconds)
    ask(store, -30, -23, 0)

    assert (retention.step(), kept(store)) == (1, 2)
    hand.hours = 0.9
    ask(store, -40)
    assert (retention.step(), kept(store)) == (0, 3)
    hand.hours = 1.1
    assert (retention.step(), kept(store)) == (2, 1)
    hand.hours = 24.5
    assert (retention.step(), kept(store)) == (1, 0)


@given(
    age=st.timedeltas(min_value=dt.timedelta(seconds=1), max_value=dt.timedelta(days=1000)),
    now=st.timedeltas(min_value=dt.timedelta(0), max_value=dt.timedelta(days=30_000)).map(lambda span: NOON + span),
)
def test_what_is_kept_begins_within_a_twelfth_of_the_age(age, now):
    """Never before it, so that nothing stays too long; and it moves in strides, alike on all hosts."""
    since = kept_since(age, now)
    assert now - age <= since < now - age + age / 12
    assert kept_since(age, now + (since - (now - age))) == since, "until it is reached it stays"


def test_a_worker_purges(experiment, store):
    """Without anybody's asking."""
    hand = Hand()
    retention = Retention(experiment, store=store, clock=hand.now, monotonic=hand.seconds)
    ask(store, -30, 0)

    worker = Worker(experiment, store=store, receiver=MemoryTransport(), pool=IdleRuns(), retention=retention)
    asyncio.run(worker.run(until_idle=True))

    assert kept(store) == 1


def test_without_the_setting_all_is_kept(store):
    """Nobody loses evidence who did not ask for it."""
    forever = Experiment(name="docs", candidates={"new": "app:new"}, settings=Settings())
    ask(store, -9000)
    assert Retention(forever, store=store).step() == 0
    assert kept(store) == 1


def test_a_span_that_is_none_is_refused_where_it_is_written():
    """Not an hour later, and never taken for `for ever`."""
    with pytest.raises(SettingsError, match="30m or 24h"):
        Settings(retention="a month")


def test_the_words_of_what_was_read_leave_the_spool(experiment, store):
    """A segment that its writer still holds keeps no words of queries that the store has purged."""
    transport = SpoolTransport(experiment.spool)
    mirrored = Experiment(
        name="docs",
        candidates={"new": "app:new"},
        rerun=0.0,
        traffic=Traffic(transport=transport),
        settings=experiment.settings,
    ).mirror(control=0.0, clock=lambda: NOON)(lambda question: question)
    mirrored(WORD.decode())
    receiver = open_receiver(experiment)
    Worker(experiment, store=store, receiver=receiver, pool=IdleRuns()).ingest()
    receiver.close()
    hand = Hand()
    hand.hours = 25

    assert Retention(experiment, store=store, clock=hand.now, monotonic=hand.seconds).step() == 1

    files = [path for path in experiment.settings.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if WORD in path.read_bytes()] == []
    transport.close()


def test_the_command_purges_by_the_settings_or_by_its_own_span(experiment, store, capsys):
    """`shadoweval purge` needs one of the two."""
    ask(store, -1, 0)  # of 2026, so older than a day at any time this test can run
    options = argparse.Namespace(answer=Answer("purge", None), experiment=experiment, before=None)
    assert purge(options) == 0
    assert capsys.readouterr().out == "purged 2 queries older than 24h\n"

    without = Experiment(name="docs", candidates={"new": "app:new"}, settings=Settings(home=experiment.settings.home))
    assert purge(argparse.Namespace(answer=Answer("purge", None), experiment=without, before="30d")) == 0
    assert capsys.readouterr().out == "purged 0 queries older than 30d\n"
    with pytest.raises(ShadowEvalError, match="retention = '30d'"):
        purge(argparse.Namespace(answer=Answer("purge", None), experiment=without, before=None))
