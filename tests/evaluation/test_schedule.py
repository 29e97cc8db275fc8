"""Slots are run at their times, once each, whatever fails; on both databases, by a clock that is set."""

import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from shadoweval import Schedule
from shadoweval.errors import SettingsError
from shadoweval.evaluation.schedule import OwnSlots, Scheduler, overdue_sentences, plan_every, plans_of
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock

NIGHT = datetime(2026, 10, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Host:
    """A scheduler whose clock is set, and what it ran."""

    def __init__(self, store, *schedules, fails=0):
        self.store, self.fails, self.ran = store, fails, []
        self.plans = plans_of(schedules)
        self.scheduler = Scheduler("docs", self.plans, self.job, slots=store.slots, clock=store.clock)

    def job(self, schedule, slot):
        self.ran.append(f"{slot.at:%d %H:%M}" + "!" * (slot.attempt - 1) + f"-{slot.missed}" * bool(slot.missed))
        if self.fails:
            self.fails -= 1
            raise ZeroDivisionError("no luck")
        return "looked"

    def at(self, *times):
        for time in times:
            self.store.clock.now = datetime(2026, 10, *time, tzinfo=UTC)
            self.scheduler.turn()
        return self.ran


@pytest.fixture(name="store")
def _store(url):
    clock = FixedClock(NIGHT)
    with closing(SqlStore(url, clock=clock)) as store:
        store.clock = clock
        yield store


NIGHTLY = Schedule(cron="30 2 * * *", tz="Europe/Berlin", name="nightly")


def test_each_slot_is_run_once_over_the_change_of_the_clock(store):
    """Two hosts look again and again; 02:30 comes twice that night and is run once."""
    hosts = [Host(store, NIGHTLY), Host(store, NIGHTLY)]
    hosts[0].at((24, 12))
    for day in (25, 26):
        for hour in range(4):
            for minute in (0, 30, 45):
                for host in hosts:
                    host.at((day, hour, minute))

    assert sorted(hosts[0].ran + hosts[1].ran) == ["25 00:30", "26 01:30"]


@pytest.mark.parametrize(
    ("missed", "ran"),
    [
        ("last", ["25 00:30", "28 01:30-2", "29 01:30"]),
        ("all", ["25 00:30", "26 01:30", "27 01:30", "28 01:30", "29 01:30"]),
        ("skip", ["25 00:30", "29 01:30"]),
    ],
)
def test_what_passed_while_nobody_ran_is_caught_up_as_the_schedule_says(store, missed, ran):
    """And counted: no slot is lost in silence."""
    host = Host(store, Schedule(cron="30 2 * * *", tz="Europe/Berlin", name="nightly", missed=missed))

    assert host.at((24, 12), (25, 0, 30), (25, 0, 31), (28, 12), (28, 13), (29, 1, 30), (29, 2)) == ran
    slots = store.slots.history("docs", "nightly", limit=10)
    counted = sum(slot.missed for slot in slots) + sum(slot.state == "done" for slot in slots)
    assert counted == 5


def test_a_slot_that_passed_before_the_scheduler_s_second_life_is_known(store):
    """It was up at noon and gone at night: a schedule is remembered from when it is first seen."""
    Host(store, NIGHTLY).at((24, 12))

    assert Host(store, NIGHTLY).at((25, 6)) == ["25 00:30"]


def test_a_run_that_fails_is_told_tried_again_and_the_next_one_comes(store, caplog):
    """Two retries, then it is given up until the next slot; `status` has the sentence."""
    host = Host(store, NIGHTLY, fails=4)

    assert host.at((24, 12), (25, 0, 30), (25, 0, 30)) == ["25 00:30"]
    assert "a scheduled run failed, 2 tries are left" in caplog.text
    assert host.at((25, 1), (25, 2), (25, 3)) == ["25 00:30", "25 00:30!", "25 00:30!!"]
    alarms = overdue_sentences(host.plans, store.slots, experiment="docs", now=store.clock.now)
    assert alarms == [
        "the schedule 'nightly': its run of 2026-10-25 00:30 UTC failed 3 times: ZeroDivisionError: no luck"
    ]
    assert host.at((26, 1, 30), (26, 3))[3:] == ["26 01:30", "26 01:30!"]
    assert overdue_sentences(host.plans, store.slots, experiment="docs", now=store.clock.now) == []


def test_a_schedule_that_nobody_runs_is_an_alarm(store):
    """Ten minutes after its slot."""
    host = Host(store, NIGHTLY)
    host.at((24, 12))

    for minute, alarms in ((35, 0), (45, 1)):
        now = datetime(2026, 10, 25, 0, minute, tzinfo=UTC)
        said = overdue_sentences(host.plans, store.slots, experiment="docs", now=now)
        assert len(said) == alarms
    assert "nobody has run what was due 2026-10-25 00:30 UTC: is `shadoweval schedule` running?" in said[0]


@pytest.mark.parametrize("gone", [True, False])
def test_a_slot_whose_scheduler_died_is_taken_over(store, monkeypatch, gone):
    """At once by those who see that it is gone, by others once its lease is over; three times at most."""
    one, other = Host(store, NIGHTLY), Host(store, NIGHTLY)
    one.scheduler._owner = "another process"
    one.job = lambda *_: pytest.fail("killed")
    one.at((24, 12))
    store.clock.now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    slot = store.slots.claim("docs", one.scheduler._claim(one.plans[0]))
    monkeypatch.setattr("shadoweval.evaluation.schedule.is_gone", lambda _: gone)

    assert slot.attempt == 1
    assert other.at((25, 0, 30, 30)) == (["25 00:30!"] if gone else [])
    assert other.at((25, 0, 31, 1)) == ["25 00:30!"]
    assert not store.slots.settle("docs", slot, owner="another process", failed=False, said="late", wait=0.0)
    assert store.slots.history("docs", "nightly")[0].said == "looked"


def test_a_slot_that_kills_its_schedulers_is_given_up(store, monkeypatch):
    """After so many tries as a failure has; the next slot comes."""
    monkeypatch.setattr("shadoweval.evaluation.schedule.is_gone", lambda _: True)
    host = Host(store, NIGHTLY)
    host.at((24, 12))
    store.clock.now = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    for number in range(3):
        host.scheduler._owner = f"life {number}"
        assert store.slots.claim("docs", host.scheduler._claim(host.plans[0])).attempt == number + 1
    host.scheduler._owner = "the last one"

    assert host.at((25, 0, 40)) == []
    assert "died over it each time" in store.slots.history("docs", "nightly")[0].said
    assert host.at((26, 1, 30)) == ["26 01:30"]


class Ticks(threading.Event):
    """A stop event whose waiting moves a clock."""

    now = NIGHT

    def wait(self, seconds=None):
        self.now += timedelta(seconds=seconds)
        return self.is_set()


@pytest.mark.parametrize(
    ("takes", "began", "missed"), [(3, [0, 10, 20, 30], 0), (25, [0, 30, 60, 90], 6), (10, [0, 10, 20, 30], 0)]
)
def test_every_so_often_begins_at_once_and_queues_nothing(takes, began, missed):
    """`evaluate --every`: times that passed while a look took longer are missed, and counted."""
    ticks, seen = Ticks(), []

    def job(schedule, slot):
        seen.append((ticks.now - NIGHT).total_seconds())
        ticks.now += timedelta(seconds=takes)
        if len(seen) == 4:
            ticks.set()
        return ""

    span, plan = timedelta(seconds=10), plan_every(timedelta(seconds=10), began=NIGHT)
    once = {"slots": OwnSlots(late=span / 4), "begin": timedelta(seconds=1), "clock": lambda: ticks.now}
    scheduler = Scheduler("docs", [plan], job, **once)
    scheduler.run(ticks)

    assert seen == began
    assert (scheduler.runs, scheduler.missed) == (4, missed)


def test_what_is_to_end_a_scheduler_ends_it():
    """A definition that can't be used is no failure that waiting mends."""

    def job(schedule, slot):
        raise SettingsError("store", "x", why="no")

    plan = plan_every(HOUR, began=NIGHT)
    once = {"slots": OwnSlots(late=HOUR), "begin": HOUR, "clock": lambda: NIGHT, "ends": (SettingsError,)}
    with pytest.raises(SettingsError):
        Scheduler("docs", [plan], job, **once).run(threading.Event())
