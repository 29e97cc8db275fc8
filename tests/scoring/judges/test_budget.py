"""What a judge may spend, and whom it judges when that runs short."""

from datetime import UTC, datetime

import pytest

from shadoweval.scoring import JudgeBudget, Spent
from shadoweval.scoring.judges.budget import drawn


@pytest.mark.parametrize(
    ("calls", "chance"),
    [(0, 1.0), (49, 1.0), (50, 0.5), (74, 0.5), (75, 0.25), (88, 0.125), (99, 0.1), (100, 0.0), (120, 0.0)],
)
def test_the_chance_is_halved_each_time_half_of_the_rest_is_spent(calls, chance):
    """Down to its floor, until nothing is left."""
    assert JudgeBudget(calls=100, least_chance=0.1).chance(Spent(calls=calls)) == chance
    assert JudgeBudget(calls=100).chance(Spent(calls=calls)) == (chance and max(chance, 0.25))


def test_the_limit_that_is_nearest_counts():
    """Calls, tokens in and out, USD."""
    budget = JudgeBudget(calls=100, tokens=1000, usd=1.0)

    assert budget.chance(Spent(calls=1, input_tokens=300, output_tokens=300)) == 0.5
    assert budget.chance(Spent(calls=1, usd=0.8)) == 0.25


def test_a_period_is_an_hour_a_day_or_a_month():
    """Of UTC."""
    now = datetime(2026, 3, 4, 5, tzinfo=UTC)

    named = [JudgeBudget(calls=1, per=per).period(now) for per in ("hour", "day", "month")]

    assert named == ["2026-03-04T05", "2026-03-04", "2026-03"]


def test_who_is_drawn_at_a_lower_chance_is_drawn_at_a_higher_one():
    """By the query's id, in any process, as often as the chance says."""
    ids = [f"q-{number}" for number in range(4000)]
    low, high = ({each for each in ids if drawn(each, chance)} for chance in (0.1, 0.5))

    assert low < high
    assert 300 < len(low) < 500
    assert 1900 < len(high) < 2100
