"""Runs what schedules say, at their times, one at a time, until stopped.

Who runs a slot is the store's to say (`protocols.Slots`), so that schedulers on many hosts run each slot once. A
scheduler that dies over a slot leaves it to the next one: at once where both share a kernel, else once its lease is
over. What a run raises is told, kept beside its slot and tried again; the next slot comes whatever became of this one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Final

from shadoweval.clock import Clock, utc_now
from shadoweval.errors import StoreError
from shadoweval.logs import logger
from shadoweval.protocols import Claim, Slot, Slots
from shadoweval.schedules import Schedule, slots_of
from shadoweval.worker.ownership import is_gone, place_of

__all__ = ["OwnSlots", "Plan", "Scheduler", "overdue_sentences", "plan_every", "plans_of"]

log: Final = logger(__name__)

_Job = Callable[[Schedule, Slot], str]
"""Runs one slot, and says in a sentence what came of it."""

_LEASE: Final = 60.0
_RENEWED: Final = 15.0
_FIRST, _MOST = 30.0, 600.0
"""Seconds between the first tries of a slot, and at most."""
_LONGEST: Final = 30.0
"""Seconds after which it is looked again at the latest: clocks jump, and other schedulers die."""
_MONTH: Final = timedelta(days=31)
"""Slots of so long ago are neither caught up nor counted."""
_OVERDUE: Final = timedelta(minutes=10)
"""A slot that nobody has run for so long is told in an alarm."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule and its times after a given one."""

    schedule: Schedule
    times: Callable[[datetime], Iterator[datetime]]

    def passed(self, after: datetime, *, now: datetime) -> list[datetime]:
        """Its times after `after` up to `now`, of the last month."""
        since = max(after, now - _MONTH)
        return list(takewhile(lambda at: at <= now, self.times(since)))


def plans_of(schedules: Sequence[Schedule]) -> list[Plan]:
    """A plan for each.

    Raises:
        ExperimentError: a schedule without times.
        MissingExtraError: the extra `store` is not installed.
    """
    plans = [Plan(schedule, partial(_times, schedule)) for schedule in schedules]
    for plan in plans:
        next(plan.times(utc_now()), None)
    return plans


def plan_every(span: timedelta, *, began: datetime) -> Plan:
    """At `began`, and then after each `span`."""

    def times(after: datetime) -> Iterator[datetime]:
        number = max(0, (after - began) // span + 1)
        return (began + count * span for count in itertools.count(number))

    return Plan(Schedule(every=f"{span.total_seconds():g}s"), times)


def _times(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    return slots_of(schedule, after=after)


class Scheduler:
    """Runs slots of one experiment's schedules.

    Args:
        experiment: Its name.
        plans: Whose slots.
        job: Runs one slot; an `Exception` that it raises is this slot's failure.
        slots: Says which slot is whose; `OwnSlots` where no other scheduler is to know.
        begin: How long before a schedule is first seen its slots count.
        first: Seconds until a slot that failed is tried again; then twice as long each time.
        ends: What a job raises that ends the scheduler.
        clock: The time of day.
    """

    def __init__(
        self,
        experiment: str,
        plans: Sequence[Plan],
        job: _Job,
        *,
        slots: Slots,
        begin: timedelta = timedelta(0),
        first: float = _FIRST,
        ends: tuple[type[Exception], ...] = (),
        clock: Clock = utc_now,
    ) -> None:
        self.runs = self.failed = self.missed = 0
        """Slots that were run, of those the ones that failed, and slots that nobody ran; since it began."""
        self._experiment, self._plans, self._job, self._slots = experiment, plans, job, slots
        self._begin, self._first, self._ends, self._clock = begin, first, ends, clock
        self._owner = place_of(os.getpid())

    def run(self, stop: threading.Event) -> None:
        """Run each slot at its time, until `stop`.

        Raises:
            StoreError: of a kind that does not pass; what passes is waited for.
        """
        while not stop.is_set():
            try:
                self.turn(stop)
            except StoreError as error:
                if not error.passing:
                    raise
                log.warning("the schedule waits for the store", extra={"why": str(error)})
            stop.wait(self.pause())

    def turn(self, stop: threading.Event | None = None) -> int:
        """Run what is due now. Returns how many slots that were."""
        before = self.runs
        for plan in self._plans:
            while not (stop is not None and stop.is_set()):
                slot = self._slots.claim(self._experiment, self._claim(plan))
                if slot is None:
                    break
                self._run(plan.schedule, slot)
        return self.runs - before

    def pause(self) -> float:
        """Seconds until it must look again."""
        now = self._clock()
        upcoming = (next(plan.times(now), None) for plan in self._plans)
        waits = [(at - now).total_seconds() for at in upcoming if at is not None]
        return max(0.0, min([*waits, min(self._first, _LONGEST)]))

    def _claim(self, plan: Plan) -> Claim:
        now, schedule = self._clock(), plan.schedule
        return Claim(
            schedule=schedule.title,
            now=now,
            times=partial(plan.passed, now=now),
            missed=schedule.missed,
            tries=schedule.retries + 1,
            owner=self._owner,
            gone=lambda owner: owner != self._owner and is_gone(owner),
            seconds=_LEASE,
            begin=now - self._begin,
        )

    def _run(self, schedule: Schedule, slot: Slot) -> None:
        self.runs += 1
        self.missed += slot.missed
        facts: dict[str, object] = {"schedule": slot.schedule, "slot": f"{slot.at:%Y-%m-%dT%H:%M:%SZ}"}
        facts["attempt"] = slot.attempt
        if slot.missed:
            log.warning("slots were missed before this one", extra={**facts, "missed": slot.missed})
        try:
            with self._held(slot):
                said = self._job(schedule, slot)
        except self._ends:
            raise
        except Exception as error:
            self.failed += 1
            left = schedule.retries + 1 - slot.attempt
            log.exception("a scheduled run failed, %d tries are left", max(left, 0), extra=facts)
            self._settle(slot, failed=True, said=f"{type(error).__name__}: {error}")
        else:
            log.info("a scheduled run is done", extra={**facts, "said": said})
            self._settle(slot, failed=False, said=said)

    def _settle(self, slot: Slot, *, failed: bool, said: str) -> None:
        wait = min(self._first * 2.0 ** (slot.attempt - 1), _MOST)
        mine = self._slots.settle(self._experiment, slot, owner=self._owner, failed=failed, said=said, wait=wait)
        if not mine:
            log.warning("another scheduler took this run over meanwhile", extra={"schedule": slot.schedule})

    @contextlib.contextmanager
    def _held(self, slot: Slot) -> Generator[None]:
        """Say all along that this scheduler lives; it holds the slot while it does."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(_RENEWED):
                with contextlib.suppress(StoreError, OSError):  # away: the lease is longer than most of that
                    self._slots.renew(self._experiment, slot, owner=self._owner, seconds=_LEASE)

        thread = threading.Thread(target=renew, name="shadoweval slot", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


class OwnSlots:
    """A `protocols.Slots` that no other process knows. Times that passed while a run took longer are missed.

    Args:
        late: A slot that is later than this is over.
    """

    def __init__(self, *, late: timedelta) -> None:
        self._late, self._last = late, dict[str, datetime]()

    def claim(self, experiment: str, claim: Claim) -> Slot | None:
        """The newest slot that passed since the last one, unless it is over; it counts those before it."""
        del experiment
        times = claim.times(self._last.get(claim.schedule, claim.begin))
        if not times or claim.now - times[-1] > self._late:
            return None
        self._last[claim.schedule] = times[-1]
        return Slot(
            schedule=claim.schedule,
            at=times[-1],
            state="running",
            attempt=1,
            missed=len(times) - 1,
            began_at=claim.now,
            ended_at=None,
            due=claim.now,
            said="",
        )

    def renew(self, experiment: str, slot: Slot, *, owner: str, seconds: float) -> bool:
        """Nobody else knows of it."""
        del experiment, slot, owner, seconds
        return True

    def settle(self, experiment: str, slot: Slot, *, owner: str, failed: bool, said: str, wait: float) -> bool:
        """It was run; one that failed is over, and the next one comes."""
        del experiment, slot, owner, failed, said, wait
        return True

    def history(self, experiment: str, schedule: str, *, limit: int = 1) -> Sequence[Slot]:
        """None: who ran them said it."""
        del experiment, schedule, limit
        return ()


def overdue_sentences(plans: Sequence[Plan], slots: Slots, *, experiment: str, now: datetime) -> list[str]:
    """An alarm for each schedule whose last run failed, or whose slots nobody runs."""
    sentences: list[str] = []
    for plan in plans:
        title = plan.schedule.title
        last = next(iter(slots.history(experiment, title)), None)
        if last is None:
            continue
        if last.state == "failed":
            why = f"its run of {last.at:%Y-%m-%d %H:%M} UTC failed {last.attempt} times: {last.said}"
            sentences.append(f"the schedule {title!r}: {why}")
        following = next(plan.times(last.at), None)
        if last.state != "running" and following is not None and now - following > _OVERDUE:
            why = f"nobody has run what was due {following:%Y-%m-%d %H:%M} UTC: is `shadoweval schedule` running?"
            sentences.append(f"the schedule {title!r}: {why}")
    return sentences
