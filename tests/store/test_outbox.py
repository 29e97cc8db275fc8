"""What receivers are owed, on either database."""

import threading
from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import text

from shadoweval.records import Evaluation, Verdict
from shadoweval.store import SqlStore
from shadoweval.testing import NOON

WHY = {"hold": "inconclusive", "promote": "proven", "rollback": "broken"}


class Times:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now


@pytest.fixture(name="times")
def _times():
    return Times()


@pytest.fixture(name="store")
def _store(url, times):
    with closing(SqlStore(url, clock=times)) as store:
        yield store


def look(store, decision, *, candidates=("new",), receivers=("chat",), why=None):
    verdicts = tuple(
        Verdict(experiment="docs", candidate=name, decision=decision, why=why or WHY[decision]) for name in candidates
    )
    made = Evaluation(id=f"e{look.number}", experiment="docs", created_at=NOON, verdicts=verdicts)
    look.number += 1
    store.add_evaluation(made, receivers=receivers)


look.number = 0


def owed(store):
    return [(alert.receiver, alert.decision) for alert in store.outbox.untold("docs")]


def take_all(store, receiver="chat"):
    told = []
    while alert := store.outbox.claim("docs", receiver, seconds=60):
        store.outbox.taken(alert)
        told.append((alert.previous, alert.decision))
    return told


def test_each_receiver_is_owed_each_change_once(store):
    """A repetition owes nothing, nor does a look at other candidates; a receiver that is new is owed what holds."""
    look(store, "hold")
    assert take_all(store) == [("", "hold")]
    look(store, "hold", receivers=("chat", "mail"))
    assert owed(store) == [("mail", "hold")]
    look(store, "promote", candidates=("other",))
    look(store, "hold")

    assert take_all(store) == [("", "promote")]
    assert take_all(store, "mail") == [("", "hold")]
    assert owed(store) == []


def test_an_evaluation_that_is_not_kept_owes_nothing(store, monkeypatch):
    """Both are written or none."""
    from shadoweval.store import outbox

    def fail(*_):
        raise RuntimeError("as if the process died here")

    monkeypatch.setattr(outbox, "_one_at_a_time", fail)
    with pytest.raises(RuntimeError):
        look(store, "rollback")

    assert not store.evaluations("docs")
    assert owed(store) == []


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        (["hold", "promote"], ["promote"]),
        (["rollback", "hold"], ["rollback", "hold"]),
        (["rollback", "hold", "promote"], ["rollback", "promote"]),
        (["hold", "rollback", "hold", "rollback"], ["rollback"]),
        (["rollback"], ["rollback"]),
    ],
)
def test_a_newer_decision_supersedes_what_waits_but_never_a_rollback(store, decisions, expected):
    """A receiver that was away is told what holds now, and of a rollback in any case, in order."""
    for decision in decisions:
        look(store, decision)

    assert [decision for _, decision in owed(store)] == expected
    assert [decision for _, decision in take_all(store)] == expected


def test_back_to_what_a_receiver_knows_owes_nothing_unless_it_was_tried(store):
    """What was tried may have arrived although its answer did not."""
    look(store, "hold")
    take_all(store)
    look(store, "promote")
    look(store, "hold")
    assert owed(store) == []

    look(store, "promote")
    store.outbox.refused(store.outbox.claim("docs", "chat", seconds=60), "it answered 503", wait=30)
    look(store, "hold")
    assert take_all(store) == [("hold", "hold")]


def test_one_that_is_refused_comes_again_with_the_same_key(store, times):
    """After the wait, not before; and again after the lease where the sender died."""
    look(store, "rollback")
    first = store.outbox.claim("docs", "chat", seconds=60)
    assert store.outbox.claim("docs", "chat", seconds=60) is None
    store.outbox.refused(first, "it answered 503", wait=100)
    times.now += timedelta(seconds=99)
    assert store.outbox.claim("docs", "chat", seconds=60) is None
    times.now += timedelta(seconds=1)
    second = store.outbox.claim("docs", "chat", seconds=60)
    times.now += timedelta(seconds=61)
    third = store.outbox.claim("docs", "chat", seconds=60)

    assert first.key == second.key == third.key
    assert [first.attempts, second.attempts, third.attempts] == [1, 2, 3]
    assert store.outbox.untold("docs")[0].error == "it answered 503"


def test_an_end_that_comes_late_does_not_undo_a_later_one(store, times):
    """The first sender's refusal, after its lease, says nothing about the second one's try."""
    look(store, "hold")
    first = store.outbox.claim("docs", "chat", seconds=60)
    times.now += timedelta(seconds=61)
    second = store.outbox.claim("docs", "chat", seconds=60)
    store.outbox.refused(first, "time out", wait=30)
    assert store.outbox.claim("docs", "chat", seconds=60) is None
    store.outbox.taken(second)
    store.outbox.refused(first, "time out", wait=30)

    assert owed(store) == []


def test_a_newer_one_waits_until_the_older_one_is_sent(store):
    """Else a receiver could hear them in the wrong order, whoever sends them."""
    look(store, "promote")
    sending = store.outbox.claim("docs", "chat", seconds=60)
    look(store, "hold")
    assert store.outbox.claim("docs", "chat", seconds=60) is None
    store.outbox.taken(sending)

    assert take_all(store) == [("", "hold")]


def test_other_candidates_do_not_wait_for_one_that_is_refused(store):
    """Only alerts of one candidate are an order."""
    look(store, "hold", candidates=("a", "b"))
    store.outbox.refused(store.outbox.claim("docs", "chat", seconds=60), "no", wait=900)

    assert store.outbox.claim("docs", "chat", seconds=60).candidate == "b"


def test_given_up_after_ten_tries_and_three_days(store, times):
    """Then it stays an alarm until its receiver took a later one; by hand it is owed again, or forgotten."""
    look(store, "rollback")
    for _ in range(12):
        alert = store.outbox.claim("docs", "chat", seconds=60)
        store.outbox.refused(alert, "it answered 404", wait=60)
        times.now += timedelta(minutes=1)
    assert [alert.state for alert in store.outbox.untold("docs")] == ["owed"], "many tries are not enough"
    times.now += timedelta(days=3)
    store.outbox.refused(store.outbox.claim("docs", "chat", seconds=60), "it answered 404", wait=60)

    assert [alert.state for alert in store.outbox.untold("docs")] == ["undelivered"]
    times.now += timedelta(days=1)
    assert store.outbox.claim("docs", "chat", seconds=60) is None
    assert store.outbox.again("docs") == 1
    assert store.outbox.claim("docs", "chat", seconds=60).verdict.rolls_back
    assert store.outbox.forget("docs") == 1
    assert owed(store) == []


def test_what_was_given_up_is_told_no_more_once_its_receiver_took_another(store, times):
    """It knows the newest state then."""
    look(store, "hold")
    for _ in range(10):
        store.outbox.refused(store.outbox.claim("docs", "chat", seconds=60), "no", wait=0)
        times.now += timedelta(days=1)
    look(store, "promote")
    take_all(store)

    assert owed(store) == []


def test_a_clock_that_jumped_ahead_and_back_holds_nothing_up(store, times):
    """Neither a lease nor a time of the next try from the future is believed, and nothing is given up."""
    look(store, "rollback")
    times.now += timedelta(days=3650)
    store.outbox.refused(store.outbox.claim("docs", "chat", seconds=60), "no", wait=900)
    times.now -= timedelta(days=3650)
    assert store.outbox.claim("docs", "chat", seconds=60) is not None
    times.now -= timedelta(days=1)

    assert store.outbox.claim("docs", "chat", seconds=60) is not None


def test_a_long_history_is_cut(store):
    """Of each candidate and receiver some fifty alerts stay."""
    for _ in range(60):
        look(store, "hold")
        look(store, "promote")
        take_all(store)

    with store._engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM shadow_alert")).scalar() <= 51
    look(store, "promote")
    assert owed(store) == []


def test_a_damaged_record_costs_its_table_and_not_the_alert(store):
    """The decision stands in a column."""
    look(store, "rollback")
    with store._engine.begin() as connection:
        connection.execute(text("UPDATE shadow_alert SET record = :bytes"), {"bytes": b"\xc1\xc1"})
    alert = store.outbox.claim("docs", "chat", seconds=60)

    assert (alert.decision, alert.verdict) == ("rollback", None)


def test_many_who_look_and_send_at_once_double_nothing(url):
    """Eight threads with stores of their own: one alert is owed, and one claims it."""
    made, claimed, ready = [], [], threading.Barrier(8)

    def host(number):
        with closing(SqlStore(url)) as mine:
            ready.wait()
            verdict = Verdict(experiment="docs", candidate="new", decision="rollback", why="broken")
            kept = Evaluation(id=f"h{number}", experiment="docs", created_at=NOON, verdicts=(verdict,))
            mine.add_evaluation(kept, receivers=["chat", "mail"])
            made.append(number)
            claimed.extend(filter(None, [mine.outbox.claim("docs", "chat", seconds=60)]))

    SqlStore(url).close()
    threads = [threading.Thread(target=host, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(made) == 8
    assert len(claimed) == 1
    with closing(SqlStore(url)) as store:
        assert sorted(owed(store)) == [("chat", "rollback"), ("mail", "rollback")]
