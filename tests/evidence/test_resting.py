"""Evidence that calls are slower while a shadow works: exact for every world in which they aren't."""

import copy
import math
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.evidence.resting import Minute, RestTest

SHARE = 0.1
SCENES = ("flat", "by day", "bursts", "deploy", "wandering")
minutes = st.builds(
    Minute, st.booleans(), st.dictionaries(st.integers(40, 60), st.integers(1, 30), min_size=1, max_size=6)
)


def same(least):
    """Nothing is tolerated."""
    return least


def world(seed, *, scene="flat", harm=1.0, calls=12, count=240):
    """Minutes of calls around 0.2 s, in bins of 15 %; `harm` times as long while the shadow works."""
    rng, wander = random.Random(seed), 0.0
    for number in range(count):
        resting, wander = rng.random() < SHARE, 0.9 * wander + rng.gauss(0, 0.15)
        level, n = 0.0, calls
        if scene == "by day":
            level, n = 0.5 * math.sin(number / 60), int(calls * (1.2 + math.sin(number / 60)))
        elif scene == "bursts" and rng.random() < 0.05:
            level, n = 1.0, 4 * calls
        elif scene == "deploy" and number > count // 2:
            level = 0.7
        elif scene == "wandering":
            level = wander
        bins: dict[int, int] = {}
        for _ in range(n):
            log = math.log(0.2) + level + rng.gauss(0, 0.5) + (0.0 if resting else math.log(harm))
            index = int((log / math.log(2) + 17) * 5)
            bins[index] = bins.get(index, 0) + 1
        yield number, Minute(resting, bins)


def highest(stream):
    """The most that was ever seen, by somebody who looks after each minute, and after how many."""
    test, top = RestTest(), (-math.inf, 0)
    for number, minute in stream:
        test.add(minute, share=SHARE, hour=number // 60, tolerated=same)
        top = max(top, (test.log_e, number))
    return top


@given(past=st.lists(minutes, max_size=25), bins=minutes, hour=st.integers(0, 3))
def test_whatever_came_before_nothing_is_to_be_won_where_rest_changes_nothing(past, bins, hour):
    """The mean over the draw of a minute's rest is what there was: a martingale, for any calls and any past."""
    test = RestTest()
    for number, minute in enumerate(past):
        test.add(minute, share=SHARE, hour=number // 60, tolerated=same)
    before, mean = math.exp(test.log_e), 0.0
    for resting, chance in ((True, SHARE), (False, 1 - SHARE)):
        after = copy.deepcopy(test)
        after.add(Minute(resting, bins.bins), share=SHARE, hour=hour, tolerated=same)
        mean += chance * math.exp(after.log_e)

    assert mean == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize("scene", SCENES)
def test_a_shadow_that_doubles_durations_is_found(scene):
    """Within four hours, whatever else goes on; twelve timed calls a minute."""
    log_e, _ = highest(world(1, scene=scene, harm=2.0))

    assert log_e >= math.log(100)


def test_what_is_tolerated_is_no_harm():
    """15 % slower where 15 % are tolerated: three bins lower is another matter."""
    test = RestTest()
    for number, minute in world(2, harm=1.12, calls=40, count=240):
        test.add(minute, share=SHARE, hour=number // 60, tolerated=lambda least: least + 1)

    assert test.log_e < math.log(100)


def test_a_quiet_month_does_not_use_the_evidence_up():
    """30 days in which nothing runs, then harm: found within some three hours."""
    test = RestTest()
    for number, minute in world(3, calls=5, count=720):
        test.add(minute, share=SHARE, hour=number, tolerated=same)  # one minute stands for its hour
    quiet = test.log_e
    for number, minute in world(4, harm=2.0, calls=20):
        test.add(minute, share=SHARE, hour=720 + number // 60, tolerated=same)

    assert quiet < 0 < math.log(100) < test.log_e


def test_its_state_is_kept_and_nonsense_is_none_of_it():
    """As JSON and back; what can't be one is refused."""
    test = RestTest()
    for number, minute in world(5, count=30):
        test.add(minute, share=SHARE, hour=number, tolerated=same)

    assert msgspec.json.decode(msgspec.json.encode(test), type=RestTest) == test
    with pytest.raises(msgspec.ValidationError, match="no state"):
        msgspec.json.decode(b'{"wealth": [1.0]}', type=RestTest)


def test_minutes_of_few_calls_say_nothing():
    """Four calls: neither bet on nor remembered."""
    test = RestTest()
    test.add(Minute(False, {50: 4}), share=SHARE, hour=0, tolerated=same)

    assert test == RestTest()


@pytest.mark.marathon
@pytest.mark.parametrize("scene", SCENES)
def test_false_alarms_are_rare_under_constant_looking(scene):
    """Of 60 worlds without harm, looked at after each of 240 minutes, at most 5 % are ever accused."""
    accused = sum(highest(world(seed, scene=scene))[0] >= math.log(100) for seed in range(60))

    assert accused <= 3
