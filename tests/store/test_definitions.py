"""What the store remembers of who mirrors under which definition."""

from datetime import timedelta

import pytest

from shadoweval.records import Envelope
from shadoweval.store import SqlStore, engine
from shadoweval.testing import NOON, make_observation, make_query


def envelope(number, definition, *, process="a", **changes):
    query = make_query(number, id=f"{process * 16}{number}", entry="app:answer", **changes)
    return Envelope(experiment="docs", query=query, served=make_observation(query), definition=definition)


@pytest.fixture(name="store")
def _store(url):
    with SqlStore(url) as opened:
        yield opened


def add(store, *envelopes):
    assert store.add_envelopes(envelopes, arms={}) == len(envelopes)


def seen(store):
    return {each.definition: (each.first_at - NOON, each.last_at - NOON) for each in store.definitions("docs")}


def test_times_are_those_of_calls_whenever_they_come(store):
    """Calls of an earlier version name no definition."""
    add(store, envelope(50, "x"), envelope(70, "x"), envelope(60, "y", process="b"), envelope(1, ""))
    add(store, envelope(40, "x"), envelope(90, "y", process="b"))

    assert seen(store) == {
        "x": (timedelta(seconds=40), timedelta(seconds=70)),
        "y": (timedelta(seconds=60), timedelta(seconds=90)),
    }
    assert [each.entry for each in store.definitions("docs")] == ["app:answer"] * 2
    assert store.definitions("else") == []


def test_a_process_has_one_definition_at_a_time(store):
    """In one batch or several: a notebook's cell that was changed has replaced what it said before."""
    add(store, envelope(1, "x"), envelope(2, "y"), envelope(3, "z", process="b"))
    assert seen(store).keys() == {"y", "z"}
    add(store, envelope(4, "x"))
    assert seen(store).keys() == {"x", "z"}


def test_a_day_of_silence_begins_anew_and_a_week_is_forgotten(store):
    """So the table does not grow with the deploys."""
    add(store, envelope(0, "x"))
    for day in range(2, 40):
        asked_at = NOON + timedelta(days=day)
        add(store, envelope(day, f"d{day}", process="bcdefghijk"[day % 10], asked_at=asked_at))
    assert seen(store).keys() == {f"d{day}" for day in range(32, 40)}
    later = NOON + timedelta(days=41)
    add(store, envelope(99, "d39", process="z", asked_at=later))
    assert seen(store)["d39"] == (timedelta(days=41), timedelta(days=41))


def test_most_batches_write_nothing(store, monkeypatch):
    """A later call is noted in steps."""
    add(store, envelope(0, "x"))
    statements = []
    engine.event.listen(store._engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    add(store, envelope(1, "x"))
    add(store, envelope(2, "x"))
    assert [each for each in statements if "INTO shadow_definition" in each] == []
    add(store, envelope(30, "x"))
    assert [each for each in statements if "INTO shadow_definition" in each] != []
