"""What grows in a store grows by a rule: pages, evaluations, what a purge reads."""

import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.stored_traffic import add_traffic
from shadoweval.records import Envelope, Evaluation, Example
from shadoweval.store import SqlStore, erasure
from shadoweval.testing import NOON, make_observation, make_query


def evaluation(number, **changes):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    return Evaluation(id=f"e-{number}", experiment=changes.pop("experiment", "toy"), created_at=at, **changes)


def test_a_new_file_has_pages_of_16_kb_and_an_old_one_goes_on(tmp_path) -> None:
    """Records of 1 to 10 kB leave a third of small pages unused; a file that is there is not made anew."""
    with SqlStore(f"sqlite:///{tmp_path / 'new.db'}") as store, store._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA page_size").scalar() == 16_384
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    old = sqlite3.connect(tmp_path / "old.db")
    old.execute("PRAGMA page_size=4096")
    old.execute("CREATE TABLE somebody_elses (n)")
    old.commit()
    old.close()

    with SqlStore(f"sqlite:///{tmp_path / 'old.db'}") as store:
        store.add_evaluation(evaluation(1))
        assert [each.id for each in store.evaluations("toy")] == ["e-1"]


def test_of_each_experiment_the_newest_evaluations_stay(url, monkeypatch) -> None:
    """A thousand of them; here three. Another experiment's are its own."""
    monkeypatch.setattr(erasure, "_EVALUATIONS", 3)
    with SqlStore(url) as store:
        store.add_evaluation(evaluation(0, experiment="other"))
        for number in range(6):
            store.add_evaluation(evaluation(number + 10))

        assert [each.id for each in store.evaluations("toy", limit=10)] == ["e-15", "e-14", "e-13"]
        assert [each.id for each in store.evaluations("other", limit=10)] == ["e-0"]


def test_a_purge_reads_old_queries_in_portions(url, monkeypatch) -> None:
    """However many there are; the examples of what is purged go, those of younger queries stay."""
    monkeypatch.setattr(erasure, "_AT_ONCE", 7)
    with SqlStore(url) as store:
        add_traffic(store, 40, experiment="toy")
        shown = [
            Example(
                query_id=query.id,
                text=query.text,
                incumbent=make_observation(query),
                candidate=make_observation(query, "new"),
                why="sample",
            )
            for query in (make_query(3), make_query(35))
        ]
        store.add_evaluation(evaluation(1, examples={"new": tuple(shown)}))

        assert store.purge(NOON + timedelta(seconds=31)) == 30
        assert [pair.id for pair in store.pairs("toy", "new")] == [f"q-{n}" for n in range(31, 41)]
        (kept,) = store.evaluations("toy")
        assert [each.query_id for each in kept.examples["new"]] == ["q-35"]
        assert store.purge(NOON + timedelta(seconds=31)) == 0


@pytest.mark.parametrize("users", [0, 5])
def test_traffic_in_bulk_is_what_calls_would_have_stored(url, users) -> None:
    """The benchmark's store is one that a worker could have filled."""
    with SqlStore(url) as store:
        add_traffic(store, 20, users=users, rerun=0.5, experiment="toy")
        pairs = list(store.pairs("toy", "new"))
        funnel = store.funnel("toy", "new")

    assert [pair.id for pair in pairs] == [f"q-{n}" for n in range(1, 21)]
    assert (funnel.paired, funnel.gap, funnel.waiting) == (20, 0, 0)
    assert any(pair.rerun for pair in pairs)
    assert {bool(pair.query.unit) for pair in pairs} == {bool(users)}


def test_a_purge_is_faster_than_what_it_purges_came(tmp_path) -> None:
    """CPU time of both in one run: so it keeps up with any traffic that the store takes."""
    queries = [make_query(number) for number in range(400)]
    with SqlStore(f"sqlite:///{tmp_path / 'shadow.db'}") as store:
        began = time.thread_time()
        for query in queries:
            served = make_observation(query, hits=["a", "b"])
            store.add_envelopes([Envelope(experiment="toy", query=query, served=served)], arms={query.id: ["new"]})
            store.add_observation(make_observation(query, "new", hits=["a", "b"]))
        came = time.thread_time() - began
        began = time.thread_time()
        assert store.purge(NOON + timedelta(days=1)) == 400
        assert time.thread_time() - began < came
