"""Taking alerts to their receivers."""

import threading
from contextlib import closing
from datetime import timedelta

import pytest

from shadoweval import Experiment
from shadoweval.errors import StoreError
from shadoweval.evaluation.courier import Courier, untold_sentences
from shadoweval.protocols import Alert
from shadoweval.records import Evaluation, Verdict
from shadoweval.store import SqlStore
from shadoweval.testing import NOON, ListNotifier

MINUTE = 60.0


@pytest.fixture(name="url")
def _url(tmp_path):
    return f"sqlite:///{tmp_path / 'shadow.db'}"


@pytest.fixture(name="store")
def _store(url):
    with closing(SqlStore(url)) as store:
        yield store


def look(store, decision, why, receivers):
    verdict = Verdict(experiment="docs", candidate="new", decision=decision, why=why)
    made = Evaluation(id=f"{decision}", experiment="docs", created_at=NOON, verdicts=(verdict,))
    store.add_evaluation(made, receivers=[receiver.receiver for receiver in receivers])


def courier(url, *notifiers, opened=None):
    experiment = Experiment(name="docs", candidates={"new": "m:f"}, scorers=[], gates=[])
    return Courier(experiment, notifiers, opened=opened or (lambda: SqlStore(url)))


class Hanging(ListNotifier):
    """Says nothing until it is let go."""

    def __init__(self):
        super().__init__("hanging")
        self.asked, self.go = threading.Event(), threading.Event()

    def notify(self, alert):
        self.asked.set()
        assert self.go.wait(MINUTE)


def test_a_receiver_that_hangs_delays_no_other_and_not_its_caller(url, store):
    """Each has a thread of its own; who waits for them waits for so long as it says."""
    hanging, quick = Hanging(), ListNotifier("quick")
    look(store, "rollback", "broken", [hanging, quick])

    with courier(url, hanging, quick) as running:
        assert hanging.asked.wait(MINUTE)
        assert not running.settle(seconds=0.5)
        assert [alert.decision for alert in quick.alerts] == ["rollback"]
        hanging.go.set()
        assert running.settle(seconds=MINUTE)

    assert not store.outbox.untold("docs")


@pytest.mark.parametrize(("error", "shown"), [(OSError("s3cr3t"), "OSError"), (ValueError("s3cr3t"), "ValueError")])
def test_whatever_a_notifier_raises_the_alert_stays_owed(url, store, caplog, error, shown):
    """Its text may quote an address, so its kind is kept."""
    notifier = ListNotifier(fails=[error])
    look(store, "hold", "inconclusive", [notifier])

    with courier(url, notifier) as running:
        assert running.settle(seconds=MINUTE)

    (alert,) = store.outbox.untold("docs")
    assert alert.error == shown
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert (record.experiment, record.candidate, record.decision, record.why) == ("docs", "new", "hold", shown)


@pytest.mark.parametrize(("asked", "least", "most"), [(None, 15, 30), (500, 500, 500), (10**9, 86_400, 86_400)])
def test_the_next_try_comes_when_the_receiver_asks_for_it(url, store, asked, least, most):
    """Else after fifteen to thirty seconds at first; never later than in a day."""
    error = OSError("no")
    error.retry_after = asked
    notifier = ListNotifier(fails=[error])
    look(store, "hold", "inconclusive", [notifier])

    with courier(url, notifier) as running:
        assert running.settle(seconds=MINUTE)

    (alert,) = store.outbox.untold("docs")
    assert timedelta(seconds=least - MINUTE) <= alert.due - alert.at <= timedelta(seconds=most + MINUTE)


def test_a_receiver_is_told_when_it_is_back(url, store):
    """Down for three evaluations: told once, what holds then."""
    notifier = ListNotifier(fails=[OSError("down")] * 3)
    for decision, why in (("hold", "inconclusive"), ("promote", "proven"), ("hold", "error")):
        look(store, decision, why, [notifier])
        with courier(url, notifier) as running:
            store.outbox.again("docs")
            assert running.settle(seconds=MINUTE)
    store.outbox.again("docs")
    with courier(url, notifier) as running:
        assert running.settle(seconds=MINUTE)
        assert running.settle(seconds=MINUTE)

    assert [(alert.decision, alert.verdict.why) for alert in notifier.alerts] == [("hold", "error")]


def test_a_store_that_is_away_is_waited_for(url, store, monkeypatch):
    """What is owed lies there."""
    from shadoweval.evaluation import courier as module

    monkeypatch.setattr(module, "_POLL", 0.05)
    notifier, times = ListNotifier(), []

    def opened():
        times.append(1)
        if len(times) < 3:
            raise StoreError("away")
        return SqlStore(url)

    look(store, "rollback", "broken", [notifier])
    told = threading.Event()
    notifier.notify = lambda alert: told.set()
    with courier(url, notifier, opened=opened):
        assert told.wait(MINUTE)


def test_alarms_say_what_is_not_delivered_to_whom_and_since_when():
    """One that waits for its first try is no alarm for five minutes."""
    facts = {"key": "k", "receiver": "chat#1", "candidate": "new", "decision": "rollback", "previous": ""}
    fresh = Alert(**facts, at=NOON, due=NOON, state="owed", attempts=0)
    tried = Alert(**facts, at=NOON, due=NOON, state="owed", attempts=2, error="it answered 503")
    lost = Alert(**facts, at=NOON, due=NOON, state="undelivered", attempts=11, error="it answered 404")

    assert untold_sentences([fresh], NOON) == []
    assert len(untold_sentences([fresh], NOON + timedelta(minutes=6))) == 1
    first, second = untold_sentences([tried, lost], NOON)
    begin = "the alert 'rollback' of 'new' is not delivered to chat#1 since 2026-01-01 12:00 UTC: "
    assert first.startswith(f"{begin}2 tries, it answered 503")
    assert second == f"{begin}given up after 11 tries, it answered 404"
