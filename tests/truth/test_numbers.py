"""Numbers of a page come from the pairs: from the store, through `evaluate`, to what a person reads."""

import re

from shadoweval import Rules, evaluate, no_worse
from shadoweval.reporting.html import render
from shadoweval.scoring import errors, latency

from .conftest import CRASH, YES, Stored, World


def page_of(fill, folder):
    world = World()
    fill(world)
    stored = Stored(world, folder)
    try:
        list(stored.looks([len(stored.asked)]))
        html = render(evaluate(stored.experiment, store=stored.store, clock=stored.clock))
    finally:
        stored.store.close()
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", html))


def test_seconds_of_failed_runs_say_what_they_count_as(tmp_path):
    """A candidate that fails at times is no thousand times slower, and the line says where the seconds are from."""

    def fill(world):
        for number in range(60):
            world.ask(number * 99, CRASH if number % 5 == 0 else YES, YES)
        world.judge(latency(), errors(), no_worse("errors", by=0.5), rules=Rules(min_hours=0, min_units=20))

    text = page_of(fill, tmp_path)
    assert "latency 6.1 s instead of 0.1 s (60.8 x); a failed run counts as 30.0 s" in text


def test_without_a_failure_nothing_is_said_of_them(tmp_path):
    """The same with none."""

    def fill(world):
        for number in range(60):
            world.ask(number * 99, YES, YES)
        world.judge(latency(), errors(), no_worse("errors", by=0.5), rules=Rules(min_hours=0, min_units=20))

    assert "a failed run counts as" not in page_of(fill, tmp_path)
