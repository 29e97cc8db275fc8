"""When something is to be run by itself: a line of cron in a time zone, or every so often.

`cronsim` says when, as Debian's cron does: a time that the clock leaps over in spring is run once, just after; one that
it passes twice in autumn is run once, the first time. Whoever mirrors defines schedules and needs neither cronsim nor a
table of time zones: both are looked at where something is scheduled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Literal, TypeAlias

from shadoweval._optional import require
from shadoweval.checks import checked_choice, checked_instance, checked_keywords, checked_list, checked_number
from shadoweval.clock import parse_span
from shadoweval.errors import ArgumentError, ExperimentError

__all__ = ["Schedule", "checked_schedules", "slots_of"]

Run: TypeAlias = Literal["look", "cases", "calibrate", "report"]
Missed: TypeAlias = Literal["last", "all", "skip"]

_NICK: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_FIELD: Final = re.compile(r"[0-9A-Za-z*,/#-]+")
_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]{0,99}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Something that is run by itself at each of its times ("slots"), once a slot however many schedulers are up."""

    run: Run = "look"
    """`look`: score, decide, alert, as `shadoweval evaluate`. `cases`: both arms over the case file. `calibrate`: the
    incumbent against itself. `report`: the newest evaluation as HTML."""
    cron: str | None = None
    """Minute, hour, day of the month, month, day of the week, as in crontab(5); or `@hourly`, `@daily`, `@weekly`,
    `@monthly`, `@yearly`."""
    every: str | None = None
    """Instead of `cron`: `30m`, `1h`, ...; counted from 1970, so that all schedulers mean the same times."""
    tz: str = "UTC"
    """In which time zone `cron` is meant, by its name in the IANA's table: `Europe/Berlin`."""
    name: str = ""
    """What the store, the log and alerts call it; empty: what is run and when. Another name is another schedule."""
    missed: Missed = "last"
    """Of slots that passed while no scheduler ran: the last one is caught up, all of them are, or none is. Those that
    are not are counted."""
    retries: int = 2
    """How often a run that failed, or that died, is tried again before the next slot is waited for."""
    cases: str | None = None
    """Case file of `run="cases"`; None: the experiment's labels."""

    def __post_init__(self) -> None:
        checked_choice("Schedule.run", self.run, Run)
        checked_choice("Schedule.missed", self.missed, Missed)
        checked_number("Schedule.retries", self.retries, low=0, high=20, whole=True)
        checked_instance("Schedule.tz", self.tz, str)
        if (self.cron is None) == (self.every is None):
            expected = "either cron or every"
            mend = "Write Schedule(cron='0 3 * * *', tz='Europe/Berlin', run='look'), or Schedule(every='1h')."
            raise ArgumentError("Schedule", f"cron={self.cron!r}, every={self.every!r}", expected=expected, mend=mend)
        if self.cron is not None:
            self._check_cron(checked_instance("Schedule.cron", self.cron, str))
        if self.every is not None:
            _interval(checked_instance("Schedule.every", self.every, str))
        if self.cases is not None and self.run != "cases":
            mend = "Write run='cases', or leave cases out."
            raise ArgumentError("Schedule.cases", self.cases, expected=f"nothing with run={self.run!r}", mend=mend)
        named = checked_instance("Schedule.name", self.name, str)
        if named and not _NAME.fullmatch(named):
            mend = "Use letters, digits, '.', '_' and '-', beginning with a letter or digit."
            raise ArgumentError("Schedule.name", named, expected="a short name", mend=mend)

    @staticmethod
    def _check_cron(cron: str) -> None:
        """Its shape; what the fields may hold is cronsim's to say (`slots_of`)."""
        fields = _NICK.get(cron.strip(), cron).split()
        if len(fields) != 5 or not all(map(_FIELD.fullmatch, fields)):
            expected = "five fields as in crontab(5), or one of " + ", ".join(_NICK)
            raise ArgumentError("Schedule.cron", cron, expected=expected, mend="'0 3 * * *' is each night at three.")

    @property
    def title(self) -> str:
        """What it is called where it has no name."""
        when = f"every {self.every}" if self.every is not None else f"{self.cron} {self.tz}"
        return self.name or f"{self.run} {when}"

    def __str__(self) -> str:
        return self.title


def checked_schedules(experiment: str, schedules: Sequence[Schedule]) -> tuple[Schedule, ...]:
    """An experiment's schedules, each under a title of its own: the store would take two of one title for one.

    Raises:
        ExperimentError: two of one title; ArgumentError: something else than schedules.
    """
    mend = "Write Schedule(cron='0 3 * * *', run='look')."
    each = tuple(
        checked_instance("schedules", one, Schedule, mend=mend) for one in checked_list("schedules", schedules)
    )
    titles = [one.title for one in each]
    for title in titles:
        if titles.count(title) > 1:
            why = f"Experiment {experiment!r} has two schedules {title!r}. Give them names: Schedule(name=...)."
            raise ExperimentError(why)
    return each


def slots_of(schedule: Schedule, *, after: datetime) -> Iterator[datetime]:
    """Its times after `after`, in UTC, each one later than the one before; without end.

    Raises:
        ExperimentError: a cron line that has no time, or a time zone that nobody knows.
        MissingExtraError: the extra `store` is not installed.
    """
    if schedule.every is not None:
        return _multiples(_interval(schedule.every), after)
    return _cron_slots(schedule, after)


def _interval(every: str) -> timedelta:
    span = parse_span(every, name="every")
    if span < timedelta(seconds=1):
        raise ArgumentError("Schedule.every", every, expected="at least a second", mend="Write for instance '30m'.")
    return span


def _multiples(span: timedelta, after: datetime) -> Iterator[datetime]:
    number = (after - _EPOCH) // span
    while True:
        number += 1
        yield _EPOCH + number * span


def _cron_slots(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    cronsim: Any = require("cronsim", extra="store", needed_for="A schedule")
    line = _NICK.get((schedule.cron or "").strip(), schedule.cron)
    zone = _zone(schedule)
    try:
        times: Iterator[datetime] = cronsim.CronSim(line, after.astimezone(zone))
    except cronsim.CronSimError as error:
        raise ExperimentError(f"{schedule.cron!r} of schedule {schedule.title!r} has no time: {error}.") from error
    return _rising(times, after)


def _rising(times: Iterator[datetime], after: datetime) -> Iterator[datetime]:
    """Each moment once: two times that a clock leaps over in spring are both put off to the same moment."""
    last = after
    for local in times:
        moment = local.astimezone(UTC)
        if moment > last:
            last = moment
            yield moment


def _zone(schedule: Schedule) -> tzinfo:
    if schedule.tz == "UTC":
        return UTC
    import zoneinfo  # noqa: PLC0415 - whoever mirrors has no need of it

    try:
        return zoneinfo.ZoneInfo(schedule.tz)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ExperimentError(
            f"Schedule {schedule.title!r}: this host knows no time zone {schedule.tz!r}. Write a name of the IANA's "
            "table, for instance 'Europe/Berlin'; a system without the table gets it by the package `tzdata`."
        ) from error
