"""When a schedule is due: cron lines in time zones, both changes of the clock, and what is refused."""

import re
import shlex
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from shadoweval import Experiment, Schedule
from shadoweval.cli.parser import _parser
from shadoweval.errors import ArgumentError, ExperimentError, ShadowEvalError
from shadoweval.schedules import slots_of

SPRING, AUTUMN = datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 10, 24, 22, tzinfo=UTC)


def times(cron, after, count, tz="Europe/Berlin"):
    slots = slots_of(Schedule(cron=cron, tz=tz), after=after)
    return [f"{slot:%d %H:%M}" for slot in islice(slots, count)]


@pytest.mark.parametrize(
    ("cron", "after", "due"),
    [
        ("30 2 * * *", SPRING, ["29 01:00", "30 00:30"]),  # 02:30 is not there: run at 03:00, once
        ("15,45 2 * * *", SPRING, ["29 01:00", "30 00:15"]),  # nor are both of these
        ("0 3 * * *", SPRING, ["29 01:00", "30 01:00"]),
        ("0 * * * *", SPRING, ["28 23:00", "29 00:00", "29 01:00", "29 02:00"]),
        ("30 2 * * *", AUTUMN, ["25 00:30", "26 01:30"]),  # 02:30 is there twice: run the first time
        ("*/30 * * * *", datetime(2026, 10, 25, 0, 15, tzinfo=UTC), ["25 00:30", "25 01:00", "25 01:30", "25 02:00"]),
        ("30 2 * * *", datetime(2026, 10, 25, 1, 15, tzinfo=UTC), ["26 01:30"]),  # asked in the second of these hours
        ("0 3 * * 1", AUTUMN, ["26 02:00", "02 02:00"]),  # 1 is Monday
        ("@daily", AUTUMN, ["25 23:00"]),
        ("0 0 L * *", AUTUMN, ["30 23:00"]),
    ],
)
def test_each_time_is_there_once_also_where_the_clock_is_changed(cron, after, due):
    """As Debian's cron: a time that is leapt over is run just after, one that comes twice the first time; in UTC."""
    assert times(cron, after, len(due)) == due


def test_spans_are_counted_from_one_beginning():
    """Two schedulers that began at different seconds mean the same slots."""
    after = datetime(2026, 1, 1, 10, 7, 31, tzinfo=UTC)
    assert [f"{slot:%H:%M:%S}" for slot in islice(slots_of(Schedule(every="15m"), after=after), 2)] == [
        "10:15:00",
        "10:30:00",
    ]


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "either cron or every"),
        ({"cron": "0 3 * * *", "every": "1h"}, "either cron or every"),
        ({"cron": "0 3 * *"}, "five fields"),
        ({"cron": "at three"}, "five fields"),
        ({"every": "often"}, "write a number and s, m, h or d"),
        ({"every": "0.1s"}, "at least a second"),
        ({"cron": "0 3 * * *", "run": "looks"}, "Did you mean 'look'"),
        ({"cron": "0 3 * * *", "missed": "None"}, "'last', 'all', 'skip'"),
        ({"cron": "0 3 * * *", "retries": -1}, "retries"),
        ({"cron": "0 3 * * *", "cases": "a.jsonl"}, "Write run='cases'"),
        ({"cron": "0 3 * * *", "name": "a b"}, "a short name"),
        ({"crom": "0 3 * * *"}, "Did you mean 'cron'"),
    ],
)
def test_what_can_not_be_meant_is_refused_where_it_is_written(given, complaint):
    """With what to write instead."""
    with pytest.raises(ShadowEvalError, match=complaint):
        Schedule(**given)


@pytest.mark.parametrize(
    ("schedule", "complaint"),
    [
        (Schedule(cron="0 0 31 2 *"), "has no time: Bad day-of-month"),
        (Schedule(cron="99 3 * * *"), "has no time: Bad minute"),
        (Schedule(cron="0 3 * * *", tz="Berlin"), "knows no time zone 'Berlin'"),
        (Schedule(cron="0 3 * * *", tz="../etc/passwd"), "knows no time zone"),
    ],
)
def test_a_time_that_never_comes_is_refused_where_it_is_scheduled(schedule, complaint):
    """Not in the process that serves, which needs neither cronsim nor a table of zones."""
    with pytest.raises(ExperimentError, match=complaint):
        next(slots_of(schedule, after=SPRING))


def test_two_schedules_of_one_title_are_refused():
    """The store would take one for the other."""
    twice = [Schedule(cron="0 3 * * *"), Schedule(cron="0 3 * * *", missed="all")]
    with pytest.raises(ExperimentError, match=r"two schedules 'look 0 3 \* \* \* UTC'. Give them names"):
        Experiment(name="docs", candidates={"new": "m:f"}, schedules=twice)
    named = Experiment(name="docs", candidates={"new": "m:f"}, schedules=[twice[0], Schedule(every="1h", name="b")])
    assert [schedule.title for schedule in named.schedules] == ["look 0 3 * * * UTC", "b"]
    with pytest.raises(ArgumentError, match="schedules"):
        Experiment(name="docs", candidates={"new": "m:f"}, schedules=["0 3 * * *"])


PAGE = (Path(__file__).parents[1] / "docs" / "schedules.md").read_text(encoding="utf-8")


def test_the_page_s_experiment_and_commands_are_what_they_say():
    """Its code defines schedules that have times; each of its commands is one, whoever starts it."""
    names = {}
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    exec(compile(code, "schedules.md", "exec"), names)
    for schedule in names["support"].schedules:
        assert next(slots_of(schedule, after=SPRING)) > SPRING

    commands = re.findall(r"\bshadoweval,? (schedule[, ].*?)(?:#.*|\])?$", PAGE, re.MULTILINE)
    for command in commands:
        assert _parser().parse_args(shlex.split(command.replace(",", " "))).command == "schedule"
    assert len(commands) == 8
