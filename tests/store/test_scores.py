"""Scores lie in one row a pair, and are there as long as their query is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from alembic import command
from sqlalchemy import text

from shadoweval.records import Envelope, PairScore, Scored, Unscored
from shadoweval.store import SqlStore, engine, tables
from shadoweval.testing import make_observation, make_query

SOME = (
    PairScore(metric="recall@5", query_id="", incumbent=Scored(0.1), candidate=Scored(1 / 3), scorer_version="r/1"),
    PairScore(
        metric="judge",
        query_id="",
        incumbent=Unscored("busy", informative=False),
        candidate=Unscored("no text"),
        noise=Scored(0.5),
        basis="b",
    ),
)


@pytest.fixture(name="store")
def store_(url):
    with SqlStore(url) as store:
        yield store


def ids_of(*numbers):
    return [make_query(number).id for number in numbers]


def add(store, *numbers, unit=""):
    envelopes = [
        Envelope(experiment="e", query=(q := make_query(n, unit=unit)), served=make_observation(q)) for n in numbers
    ]
    store.add_envelopes(envelopes, arms=dict.fromkeys(ids_of(*numbers), ()))


def of(query_id, **changes):
    return [msgspec.structs.replace(score, query_id=query_id, **changes) for score in SOME]


def kept(store, *numbers):
    """What a look gets, and what `scores` reads, by query; both say the same."""
    looked_up = store.look("e", "new").scores(ids_of(*numbers))
    read = list(store.scores("e", "new"))
    assert sorted(map(repr, read)) == sorted(repr(each) for said in looked_up.values() for each in said)
    return looked_up


def test_what_was_kept_comes_back_and_the_last_word_on_a_metric_stands(store) -> None:
    """Rescored by one metric, the others stay; another arm's are its own."""
    add(store, 1, 2, 3)
    first, second, _ = ids_of(1, 2, 3)
    store.add_scores("e", "new", [*of(first), *of(second)])
    store.add_scores("e", "other", of(first, candidate=Scored(0.9)))
    again = msgspec.structs.replace(of(second)[0], candidate=Scored(0.7), scorer_version="r/0")
    store.add_scores("e", "new", [again])
    assert kept(store, 1, 2, 3) == {first: of(first), second: [again, of(second)[1]]}


def test_scores_of_late_calls_come_in_query_order(store) -> None:
    """A call that came late has its place among those that were scored before it."""
    add(store, 1, 3)
    first, late, last = ids_of(1, 2, 3)
    store.add_scores("e", "new", [*of(last), *of(first)])
    add(store, 2)
    store.add_scores("e", "new", of(late))
    assert [each.query_id for each in store.scores("e", "new")] == [first, first, late, late, last, last]


@pytest.mark.parametrize("how", ["erase", "purge"])
def test_scores_go_with_their_query_and_with_no_other(store, how) -> None:
    """Nothing of what was erased or is too old stays, and nothing of it comes back."""
    add(store, 1, unit="ann")
    add(store, 2, unit="bob")
    gone, stays = ids_of(1, 2)
    store.add_scores("e", "new", [*of(gone), *of(stays)])
    assert store.erase("ann") == 1 if how == "erase" else store.purge(make_query(2).asked_at) == 1
    store.add_scores("e", "new", of(gone))
    assert store.dropped == 2
    assert kept(store, 1, 2) == {stays: of(stays)}


def test_two_hosts_keep_each_others_scores(store, url) -> None:
    """Each adds its metric of the same pair."""
    add(store, 1)
    (query_id,) = ids_of(1)
    ours, theirs = of(query_id)
    with SqlStore(url) as host:
        store.add_scores("e", "new", [ours])
        host.add_scores("e", "new", [theirs])
    assert kept(store, 1) == {query_id: [ours, theirs]}


def test_a_row_that_cant_be_read_is_as_none(store) -> None:
    """The pair is scored again then, and its row written anew."""
    add(store, 1)
    (query_id,) = ids_of(1)
    store.add_scores("e", "new", of(query_id))
    with engine.transaction(store._engine, write=True) as connection:
        connection.execute(text("UPDATE shadow_scores SET record = :damaged"), {"damaged": b"\x91\xc1"})
    assert kept(store, 1) == {}
    store.add_scores("e", "new", of(query_id))
    assert kept(store, 1) == {query_id: of(query_id)}


def test_a_reason_is_kept_as_far_as_a_person_reads_it_(store) -> None:
    """A judge may quote a whole book."""
    add(store, 1)
    (query_id,) = ids_of(1)
    long = msgspec.structs.replace(of(query_id)[0], candidate=Unscored("x" * 100_000))
    store.add_scores("e", "new", [long])
    (score,) = kept(store, 1)[query_id]
    assert score == msgspec.structs.replace(long, candidate=Unscored("x" * 8_000))


def test_scores_of_an_earlier_version_are_taken_over(url, monkeypatch) -> None:
    """Of each metric the one that was stored last, with reasons and what it rests on."""
    with monkeypatch.context() as earlier:
        earlier.setattr(command, "upgrade", lambda config, _head: _upgrade(config, "0010"))
        store = SqlStore(url)
        definitions = tables.Definition.__table__  # of a later version: there while queries are added, gone again below
        definitions.create(store._engine)
        add(store, 1, 2)
        definitions.drop(store._engine)
    first, second = ids_of(1, 2)
    with engine.transaction(store._engine, write=True) as connection:
        for query_id in (first, second):
            for version, after, value in (("r/1", 1, 0.25), ("r/0", 2, 1 / 3)):
                connection.execute(_OLD_ROW, _old_row(query_id, "recall@5", version, after, candidate=value))
            connection.execute(_OLD_ROW, _old_row(query_id, "judge", "", 0, candidate_reason="no text"))
    store.close()
    with SqlStore(url) as opened:
        expected = PairScore(
            metric="recall@5",
            query_id=second,
            incumbent=Scored(0.1),
            candidate=Scored(1 / 3),
            scorer_version="r/0",
            basis="b",
        )
        unscored = msgspec.structs.replace(
            expected, metric="judge", candidate=Unscored("no text", informative=False), scorer_version=""
        )
        assert sorted(kept(opened, 1, 2)[second], key=lambda score: score.metric) == [unscored, expected]
        assert opened.purge(make_query(2).asked_at) == 1
        assert list(kept(opened, 1, 2)) == [second]


_upgrade = command.upgrade
_COLUMNS = (
    *("query_id", "arm", "metric", "scorer_version", "at", "basis", "incumbent", "candidate", "candidate_reason"),
    *("incumbent_informative", "candidate_informative", "noise_informative"),
)
_OLD_ROW = text(
    f"INSERT INTO shadow_score ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)})"
)


def _old_row(query_id, metric, version, after, *, candidate=None, candidate_reason=None):
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=after)
    values = (
        query_id,
        "new",
        metric,
        version,
        at,
        "b",
        0.1,
        candidate,
        candidate_reason,
        True,
        candidate is not None,
        True,
    )
    return dict(zip(_COLUMNS, values, strict=True))
