"""What receivers are told beside verdicts: each change once, however many watch."""

from contextlib import closing
from types import SimpleNamespace

import msgspec
import pytest

from shadoweval import Experiment, Schedule, Traffic
from shadoweval.evaluation.conditions import Watch, refusal_conditions
from shadoweval.records import Evaluation, Verdict
from shadoweval.records.acts import Refusal
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import NOON, ListNotifier
from shadoweval.worker.heartbeat import Beat


class Line:
    """An experiment whose counters are set, and a watch beside it."""

    def __init__(self, store, folder, **options):
        settings = Settings(home=str(folder), store="postgresql://elsewhere/x")
        self.experiment = Experiment(name="docs", candidates={"new": "m:f"}, settings=settings, **options)
        self.store, self.chat, self.counters = store, ListNotifier("chat"), {}
        self.watch = self.watcher()

    def watcher(self):
        return Watch(self.experiment, [self.chat], clock=lambda: NOON)

    def told(self, watch=None):
        """What the receiver is told of one look: the subject without its place, the state."""
        (watch or self.watch).step(self.store)
        taken = []
        while alert := self.store.outbox.claim("docs", "chat", seconds=60):
            self.store.outbox.taken(alert)
            taken.append((alert.candidate.partition(" (")[0], alert.decision, alert.text))
        self.texts = [text for *_, text in taken]
        return [told[:2] for told in taken]


@pytest.fixture(name="line")
def _line(url, tmp_path, monkeypatch):
    with closing(SqlStore(url)) as store:
        line = Line(store, tmp_path / "home", traffic=Traffic(budget={"calls": 5}))
        (tmp_path / "home").mkdir(mode=0o700)
        counted = SimpleNamespace(counters=lambda: line.counters)
        monkeypatch.setattr("shadoweval.evaluation.conditions.open_receiver", lambda _: counted)
        yield line


def test_a_breaker_is_told_when_it_opens_and_when_calls_pass_again(line):
    """While nothing comes nobody knows, and nobody is told."""
    seen = []
    for eligible, mirrored, thinned in [(10, 10, 0), (30, 12, 18), (60, 15, 45), (60, 15, 45), (90, 45, 45)]:
        line.counters = {"eligible": eligible, "mirrored": mirrored, "breaker_open": thinned}
        seen.append(line.told())

    assert seen == [[], [("breaker", "open")], [], [], [("breaker", "closed")]]
    assert line.texts[0].startswith("docs: breaker (")


def test_each_change_is_told_once_however_many_watch(line):
    """A kill and its end; those who come later know it by the store."""
    others = [line.watcher(), line.watcher()]
    assert line.told() == []
    line.experiment.kill("bad answers")
    assert line.told() == [("kill switch", "killed")]
    assert "killed by" in line.texts[0]
    assert [line.told(other) for other in others] == [[], []]
    line.experiment.resume()
    assert [line.told(other) for other in [*others, line.watch]] == [[("kill switch", "released")], [], []]


def test_what_ended_before_anybody_was_told_is_not_told(line):
    """Down or up: a receiver that was not reached is told what holds; and nothing where that is what it knew."""
    line.experiment.kill()
    line.watch.step(line.store)
    line.experiment.resume()

    assert line.told() == []


def test_a_receiver_that_was_down_is_told_once_what_holds(line):
    """Three changes while it was away."""
    for switch in (line.experiment.kill, line.experiment.resume, line.experiment.kill):
        switch()
        line.watch.step(line.store)
        alert = line.store.outbox.claim("docs", "chat", seconds=60)
        line.store.outbox.refused(alert, "down", wait=0.0)

    assert line.told() == [("kill switch", "killed")]


def test_a_spent_budget_and_silence_are_told(line):
    """With what to do."""
    line.counters = {"eligible": 5_000, "full": 5_000}
    line.experiment.admission.budget.charge(calls=5)

    assert sorted(line.told()) == [("budget", "spent"), ("traffic", "none mirrored")]
    assert any("the spool is full: is a worker running?" in text for text in line.texts)


def test_a_worker_that_hangs_or_died_is_told_by_those_who_watch_it(line):
    """Not by itself."""
    beat = Beat(host="elsewhere", process=1, began_at=NOON, beat_at=NOON.replace(hour=1))
    path = line.experiment.settings.folder / "heartbeat-docs.json"
    path.write_bytes(msgspec.json.encode(beat))

    assert line.told(Watch(line.experiment, [line.chat], worker=False, clock=lambda: NOON)) == []
    assert line.told() == [("worker", "in trouble")]
    assert "has given no sign for 11 h" in line.texts[0]
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(beat, beat_at=NOON)))
    assert line.told() == [("worker", "well")]


def test_a_schedule_that_nobody_runs_is_told(line):
    """Ten minutes after its slot."""
    from datetime import timedelta

    from shadoweval.protocols import Claim

    line.experiment.schedules = (Schedule(every="1h", name="hourly"),)
    facts = {"now": NOON, "times": lambda after: [], "missed": "last", "tries": 1, "seconds": 1.0}
    begin = Claim(schedule="hourly", owner="", gone=lambda owner: True, begin=NOON - timedelta(hours=2), **facts)
    line.store.slots.claim("docs", begin)

    assert line.told() == [("schedule hourly", "failing")]
    assert "nobody has run what was due 2026-01-01 11:00 UTC" in line.texts[0]


def test_what_the_guard_refused_is_told_once_a_window():
    """A tool call that was refused is the record's, and no attempt to get out."""
    acts = (Refusal(kind="socket.connect", detail="10.0.0.1:443", count=3), Refusal(kind="tool", detail="refund"))
    both = [Verdict(experiment="docs", candidate=name, decision="hold", why="error") for name in ("new", "tame")]
    made = Evaluation(id="e", experiment="docs", created_at=NOON, verdicts=tuple(both), refusals={"new": acts})
    bad, well = refusal_conditions(made)

    assert (bad.state, bad.well, well.well) == ("refused", False, True)
    assert bad.text == (
        "docs: containment of new: REFUSED\n  the guard refused it socket.connect 10.0.0.1:443 (3 times)"
    )
