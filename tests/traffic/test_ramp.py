"""Schedules."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.buckets import within
from shadoweval.traffic.ramp import Ramp

DAY = datetime(2026, 3, 1, tzinfo=UTC)


def hours(number: float) -> datetime:
    return DAY + timedelta(hours=number)


def test_a_ramp_climbs_at_its_times():
    """Nothing before the first step, each share from its own moment on, the last one for ever."""
    ramp = Ramp(steps=((hours(1), 0.01), (hours(2), 0.1), (hours(3), 0.5)))

    assert [ramp.at(hours(h)) for h in (0, 0.999, 1, 1.5, 2, 3, 1000)] == [0, 0, 0.01, 0.01, 0.1, 0.5, 0.5]


def test_start_and_stop_bound_it():
    """In from the start, out at the stop."""
    schedule = Ramp(share=0.3, start=hours(1), stop=hours(2))

    assert [schedule.at(hours(h)) for h in (0.99, 1, 1.99, 2)] == [0, 0.3, 0.3, 0]


def test_members_stay_while_a_ramp_climbs():
    """Of 20,000 units nobody who was in at an earlier step is out at a later one."""
    ramp = Ramp(steps=((hours(1), 0.01), (hours(2), 0.1), (hours(3), 0.3)))
    members = [
        {unit for unit in map(str, range(20_000)) if within(ramp.at(hours(hour)), "support", unit)}
        for hour in (0, 1, 2, 3)
    ]

    assert [round(len(group) / 20_000, 2) for group in members] == [0.0, 0.01, 0.1, 0.3]
    assert members[0] < members[1] < members[2] < members[3]


def test_the_judged_share_lies_inside_the_mirrored_one():
    """Under one salt the 1 % for the judge are among the mirrored 10 %, so that no judgement lacks its pair."""
    units = [f"session-{i}" for i in range(20_000)]
    judged = {unit for unit in units if within(0.01, "support", unit)}

    assert judged
    assert all(within(0.10, "support", unit) for unit in judged)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).map(sorted), st.floats(0, 8), st.floats(0, 8))
def test_a_share_never_shrinks(shares, one, other):
    """Whatever the steps are, later is never less."""
    ramp = Ramp(steps=tuple((hours(i), share) for i, share in enumerate(shares)))

    assert ramp.at(hours(min(one, other))) <= ramp.at(hours(max(one, other)))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "either"),
        ({"share": 0.1, "steps": ((DAY, 0.1),)}, "either"),
        ({"share": 0.1, "start": hours(1), "stop": hours(1)}, "not after"),
        ({"steps": ((hours(1), 0.1), (hours(1), 0.2))}, "back in time"),
        ({"steps": ((hours(1), 0.2), (hours(2), 0.1))}, "goes down"),
    ],
)
def test_what_is_no_schedule(given, complaint):
    """Neither or both of share and ramp, an empty span, and steps back or down are refused."""
    with pytest.raises(ValueError, match=complaint):
        Ramp(**given)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), 10])
def test_a_share_is_no_percentage(share):
    """Shares outside [0, 1] are refused where they are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"share": share}, Ramp)
