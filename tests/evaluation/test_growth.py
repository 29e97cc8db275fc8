"""What evaluations leave and need does not grow with the pairs: months of traffic, and a first look at many."""

import subprocess
import sys
import textwrap
from datetime import timedelta
from functools import partial

import msgspec
import pytest
from sqlalchemy import delete, func, select

from benchmarks.stored_traffic import add_traffic
from shadoweval import Experiment, Rules, no_worse
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.progress import purpose_of
from shadoweval.evidence.segments import KEPT
from shadoweval.scoring import errors, latency
from shadoweval.settings import Settings
from shadoweval.store import SqlStore, tables
from shadoweval.store.engine import transaction
from shadoweval.testing import NOON, FixedClock
from shadoweval.worker.retention import Retention

A_DAY = 10
"""Queries."""


def left_by_looks(store):
    """States, segments, and bytes in segments."""
    with transaction(store._engine) as connection:
        states = connection.execute(select(func.count()).select_from(tables.Progress)).scalar_one()
        sizes = connection.execute(select(func.length(tables.Segment.record))).scalars().all()
    return states, len(sizes), sum(sizes)


def said(evaluation):
    (verdict,) = evaluation.verdicts
    return msgspec.to_builtins([verdict.decision, verdict.gates, verdict.notices, evaluation.summaries])


def test_months_of_traffic_leave_what_ninety_days_leave(url, tmp_path) -> None:
    """Two hundred days of users who come back, a look every ten days: what is kept levels off, and says the same."""
    experiment = Experiment(
        name="bench",
        candidates={"new": "app:new"},
        scorers=[errors(), latency()],
        gates=[no_worse("errors", by=0.05)],
        rules=Rules(min_hours=0),
        settings=Settings(home=str(tmp_path)),
    )
    clock, kept = FixedClock(), {}
    with SqlStore(url, clock=clock) as store:
        for day in range(0, 200, 10):
            add_traffic(store, 10 * A_DAY, first=1 + day * A_DAY, every=86_400 / A_DAY, users=60)
            clock.now = NOON + timedelta(days=day + 11)
            looked = evaluate(experiment, store=store, clock=clock)
            kept[day + 10] = left_by_looks(store)
        with transaction(store._engine, write=True) as connection:
            connection.execute(delete(tables.Progress))
        anew = evaluate(experiment, store=store, clock=clock)

    books = 2  # users, and their conversations
    assert all(states <= 5 and segments <= 5 * books * (KEPT + 2) for states, segments, _ in kept.values())
    assert kept[20][2] < kept[100][2]
    assert kept[200][2] < 1.4 * kept[110][2]
    assert any(f"did not come for {KEPT} days count as new" in notice for notice in looked.verdicts[0].notices)
    assert said(looked) == said(anew)


def test_a_window_that_retention_shortens_is_told(url, tmp_path) -> None:
    """With how many queries are gone; while all are there nothing is said."""
    experiment = Experiment(
        name="bench",
        candidates={"new": "app:new"},
        scorers=[errors()],
        gates=[no_worse("errors", by=0.05)],
        settings=Settings(home=str(tmp_path)),
    )
    clock = FixedClock()
    clock.tick(3600)
    with SqlStore(url, clock=clock) as store:
        add_traffic(store, 40)
        whole = evaluate(experiment, store=store, clock=clock)
        store.purge(NOON + timedelta(seconds=31))
        rest = evaluate(experiment, store=store, clock=clock)
        begun = evaluate(experiment, store=store, clock=clock, new_window=True)

    assert (whole.notes, whole.verdicts[0].pairs) == ((), 40)
    assert rest.verdicts[0].pairs == 10
    (note,) = rest.notes
    assert note.startswith("Warning: 30 mirrored queries were purged or erased and are no evidence any more")
    assert begun.notes == ()


def test_a_purge_costs_no_look_of_a_window_that_began_after_it(url, tmp_path) -> None:
    """What such looks left holds nothing of what was purged; what looks at more left does, and goes."""
    experiment = Experiment(
        name="bench",
        candidates={"new": "app:new"},
        scorers=[errors()],
        gates=[no_worse("errors", by=0.05)],
        settings=Settings(home=str(tmp_path)),
    )
    clock, since = FixedClock(), NOON + timedelta(seconds=31)
    clock.tick(3600)
    look = partial(SqlStore.look, experiment="bench", candidate="new", purpose=purpose_of(experiment))
    with SqlStore(url, clock=clock) as store:
        add_traffic(store, 60, users=9)
        evaluate(experiment, store=store, clock=clock)
        store.purge(NOON + timedelta(seconds=2))
        assert left_by_looks(store) == (0, 0, 0)

        before = evaluate(experiment, store=store, clock=clock, since=since)
        left = left_by_looks(store)
        store.purge(since)
        assert left_by_looks(store) == left
        seen = look(store, since=since)
        assert (seen.saved is not None, seen.expected) == (True, 0)
        assert said(evaluate(experiment, store=store, clock=clock)) == said(before)

        store.purge(since + timedelta(seconds=1))
        assert left_by_looks(store) == (0, 0, 0)
        assert look(store, since=since).expected == 29


class Counting(SqlStore):
    """How many pairs each look has to read."""

    def __init__(self, url, clock):
        super().__init__(url, clock=clock)
        self.read = []

    def look(self, *args, **kwargs):
        look = super().look(*args, **kwargs)
        self.read.append(look.expected)
        return look


def test_with_retention_most_looks_cost_what_came_since_the_last_one(tmp_path) -> None:
    """Hour by hour, and no window was begun: a look reads what is left anew only where a purge has taken something.

    That happens twelve times within `retention`. The verdict is that of a first look; nothing stays longer than it may.
    """
    hourly, kept, looks = 4, timedelta(hours=36), 9
    experiment = Experiment(
        name="bench",
        candidates={"new": "app:new"},
        scorers=[errors()],
        gates=[no_worse("errors", by=0.05)],
        settings=Settings(home=str(tmp_path), retention="36h"),
    )
    clock = FixedClock()
    store = Counting(f"sqlite:///{tmp_path / 'shadow.db'}", clock)
    retention = Retention(experiment, store=store, clock=clock, monotonic=lambda: clock.now.timestamp())
    with store:
        add_traffic(store, 36 * hourly, every=3600 / hourly, users=7)
        for hour in range(36, 36 + looks):
            add_traffic(store, hourly, first=1 + hour * hourly, every=3600 / hourly, users=7)
            clock.now = NOON + timedelta(hours=hour + 1)
            retention.step()
            looked = evaluate(experiment, store=store, clock=clock)
            assert clock.now - kept <= next(iter(store.pairs("bench", "new"))).query.asked_at
        with transaction(store._engine, write=True) as connection:
            connection.execute(delete(tables.Progress))
        anew = evaluate(experiment, store=store, clock=clock)

    again = [pairs for pairs in store.read[:looks] if pairs > 2 * hourly]
    assert len(again) == looks / 36 * 12
    assert all(33 * hourly <= pairs <= 37 * hourly for pairs in again)
    assert looked.verdicts[0].pairs == store.read[-1] > 33 * hourly
    assert said(looked) == said(anew)


PEAK = """
    import resource, sys
    from datetime import timedelta
    from benchmarks.looks import experiment_in
    from benchmarks.stored_traffic import add_traffic
    from shadoweval.evaluation.evaluate import evaluate
    from shadoweval.store import SqlStore
    from shadoweval.testing import FixedClock

    folder, count = sys.argv[1], int(sys.argv[2])
    clock = FixedClock()
    clock.tick(timedelta(days=30).total_seconds())
    with SqlStore(f"sqlite:///{folder}/{count}.db") as store:
        add_traffic(store, count)
        evaluate(experiment_in(folder), store=store, clock=clock)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_first_look_needs_the_memory_of_a_small_one(tmp_path) -> None:
    """Four times the pairs, and the peak is a few megabytes higher: pairs are taken in 2,000 at a time."""
    peaks = [
        int(subprocess.check_output([sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path), str(count)]))
        for count in (4_000, 16_000)
    ]
    assert peaks[1] - peaks[0] <= 18_000, f"{peaks} kB"
