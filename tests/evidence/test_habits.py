"""The usual kinds of a thing, and when they no longer are."""

import json

import numpy as np
import pytest

from shadoweval.evidence.habits import REFERENCE, Habit, Where
from shadoweval.evidence.inputs import StatsInputError

LEVEL = 20_000 * 200 / 0.04


def fed(kinds, *, allowed=0.1, level=LEVEL, habit=None, begin=0):
    habit = habit or Habit(allowed=allowed, level=level)
    for number, kind in enumerate(kinds, begin):
        habit.add(kind, Where(f"q-{number}", float(number)))
    return habit


def test_the_statistic_follows_its_recursion():
    """M = (M + 1) * growth for each bettor, against a plain loop; usual values in a row are caught up with at once."""
    kinds = ["a"] * REFERENCE + [*"aabaaaabbabaaa"]
    bets = [0.0] * 3
    for kind in kinds[REFERENCE:]:
        growths = [1 - f + (f / 0.1 if kind == "b" else 0) for f in (0.1, 0.5, 0.95)]
        bets = [(bet + 1) * growth for bet, growth in zip(bets, growths, strict=True)]
    assert fed(kinds).statistic == pytest.approx(sum(bets) / 3, rel=1e-9)


def test_a_lost_field_is_found_within_ten_values():
    """And it says since which value, what was usual, and what came instead."""
    habit = fed(["text"] * 150 + ["missing"] * 9)
    assert habit.alarmed
    assert habit.since == Where("q-150", 150.0)
    assert habit.counted == (9, 9)
    assert (dict(habit.kinds), dict(habit.unusual)) == ({"text": 100}, {"missing": 9})


def test_an_unusual_value_now_and_then_is_no_change():
    """One in twelve, for 20,000 values."""
    assert not fed(["missing" if n % 12 == 7 else "text" for n in range(20_000)]).alarmed


def test_what_is_usual_in_two_ways_stays_so():
    """An empty list in a third of the runs is usual, and more of them later are too."""
    assert not fed(["a list" if n % 3 else "an empty list" for n in range(100)] + ["an empty list"] * 500).alarmed


def test_what_is_first_there_after_a_hundred_is_new():
    """A field that was missing before."""
    habit = Habit(allowed=0.1, level=LEVEL, before=150)
    assert fed(["text"] * 9, habit=habit).alarmed
    assert dict(habit.kinds) == {"missing": 150}


def test_where_it_began_is_the_last_beginning():
    """An unusual value long before is not the change."""
    assert fed(["a"] * 120 + ["b"] + ["a"] * 80 + ["b"] * 12).since == Where("q-201", 201.0)


def test_quiet_streams_hardly_ever_alarm():
    """At the edge of the null, a level for 5 % at 2,000 values: at most 5 % of 400 streams, and two deviations."""
    rng, alarms = np.random.default_rng(3), 0
    for _ in range(400):
        habit = Habit(allowed=0.1, level=2_000 / 0.05, before=REFERENCE, kind="a")
        alarms += fed(np.where(rng.random(2_000) < 0.1, "b", "a").tolist(), habit=habit).alarmed
    assert alarms <= 400 * 0.05 + 2 * (400 * 0.05 * 0.95) ** 0.5


@pytest.mark.parametrize("cut", [0, 40, 100, 130, 155])
def test_it_resumes_in_the_middle(cut):
    """Through JSON and on it is the same."""
    kinds = ["a"] * 120 + ["b"] * 3 + ["a"] * 20 + ["b"] * 20
    first, second = fed(kinds[:cut]), Habit(allowed=0.1, level=LEVEL)
    second.restore(json.loads(json.dumps(first.to_state())))
    assert fed(kinds[cut:], habit=second, begin=cut).to_state() == fed(kinds).to_state()


def test_it_stays_finite_long_after_an_alarm():
    """A stream that nobody stops does not overflow."""
    assert fed(["a"] * 100 + ["b"] * 3_000).statistic < 1e301


def test_impossible_shares_are_refused():
    """Of what is allowed, and of what is learnt."""
    with pytest.raises(StatsInputError):
        Habit(allowed=1.0, level=LEVEL)
    with pytest.raises(StatsInputError):
        Habit(allowed=0.1, least=0.2, level=LEVEL)
