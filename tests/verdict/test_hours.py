"""Hours of the day and of the week that were seen."""

import numpy as np
import pytest

from shadoweval.verdict.hours import Hours, waits_for_hours

HOUR, DAY = 3600.0, 86_400.0


def seen(*hours, pairs=3, days=1):
    """Traffic in these hours of the day, on days one after another from Thursday on."""
    counted = Hours()
    times = [
        day * DAY + hour * HOUR + minute * 60.0 for day in range(days) for hour in hours for minute in range(pairs)
    ]
    counted.add(np.array(times))
    return counted


def test_each_hour_of_the_day_must_have_a_few_pairs() -> None:
    """Not the time between the first and the last query: a burst and a straggler are one hour."""
    burst = seen(9, pairs=60)
    burst.add(np.array([DAY + 10 * HOUR]))
    assert burst.covered(24) == 1
    assert waits_for_hours(burst, span=25, least=24)[0].startswith("1 of at least 24 hours of the day have traffic")
    assert waits_for_hours(seen(*range(24)), span=24, least=24) == ()


def test_the_hours_that_lack_are_named_with_what_mends_it() -> None:
    """Stretches of the clock, and the line for traffic that sleeps."""
    (sentence,) = waits_for_hours(seen(*range(8, 17), days=3), span=60, least=24)
    assert "from 00:00 to 08:00 and from 17:00 to 24:00 UTC" in sentence
    assert "Rules(min_hours=9)" in sentence
    assert waits_for_hours(seen(*range(8, 17), days=3), span=60, least=9) == ()


def test_what_stopped_the_mirror_is_said() -> None:
    """A budget that is spent by two o'clock leaves the same hours out each day."""
    left_out = {"budget_spent": 812, "not_sampled": 5000}
    (sentence,) = waits_for_hours(seen(*range(14), days=3), span=60, least=24, not_mirrored=left_out)
    assert "from 14:00 to 24:00 UTC, and the mirror left queries out (budget_spent 812)" in sentence


@pytest.mark.parametrize(
    ("least", "span", "waits"), [(None, 0, False), (0, 0, False), (20, 19.9, True), (20, 20, False)]
)
def test_the_time_itself_counts_too(least, span, waits) -> None:
    """As long must lie between the first and the last query; without a floor nothing waits."""
    assert bool(waits_for_hours(seen(*range(20)), span=span, least=least)) == waits


def test_beyond_a_day_hours_of_the_week_count() -> None:
    """A week's cycle is not seen in seven Mondays."""
    working_days = seen(*range(24), days=5)
    assert "120 of at least 168 hours of the week" in waits_for_hours(working_days, span=170, least=168)[0]
    assert waits_for_hours(seen(*range(24), days=7), span=170, least=168) == ()


def test_a_night_of_few_pairs_adds_up_over_days() -> None:
    """One query an hour makes three in three days."""
    assert seen(*range(24), pairs=1, days=2).covered(24) == 0
    assert seen(*range(24), pairs=1, days=3).covered(24) == 24


def test_its_state_resumes() -> None:
    """Plain numbers, one for each hour of a week."""
    counted, resumed = seen(3, 4, days=2), Hours()
    resumed.restore(counted.to_state())
    assert resumed.unseen(24) == counted.unseen(24)
    assert len(counted.to_state()) == 168
