"""One run as the pool sees it: what it measured itself is held against the pool's clock."""

import asyncio
import math

import pytest

from shadoweval.candidate.remote_run import RemoteRun
from shadoweval.testing import make_observation, make_query


def untimed(duration, *, elapsed, cold="", **changes):
    async def ran():
        run = RemoteRun(1, seconds=60.0, grace=1.0, cold=cold)
        run.ended = run.began + elapsed
        return run.untimed(make_observation(make_query(1), duration=duration, **changes))

    return asyncio.run(ran())


@pytest.mark.parametrize(
    ("duration", "elapsed", "changes"),
    [
        (0.001, 5.0, {}),
        (7.0, 5.0, {}),
        (-1.0, 5.0, {}),
        (math.nan, 5.0, {}),
        (4.9, 5.0, {"waited": (5.0, 0.0)}),
        (4.0, 5.0, {"waited": (4.5, 0.0)}),
        (4.9, 5.0, {"waited": (-1.0, 0.0)}),
        (4.9, 5.0, {"first_chunk": 6.0}),
    ],
)
def test_seconds_that_cannot_be_true_are_not_believed(duration, elapsed, changes):
    """Shorter than a busy machine explains, longer than the pool waited, negative, no number; parts of it likewise."""
    assert "by the pool's clock 5 s passed" in untimed(duration, elapsed=elapsed, **changes)


@pytest.mark.parametrize(
    ("duration", "elapsed", "changes"),
    [
        (4.9, 5.0, {}),
        (5.001, 5.0, {"waited": (0.5, 0.0), "first_chunk": 1.0}),
        (0.001, 0.9, {}),
        (0.001, 50.0, {"cold": "it is the first one"}),
    ],
)
def test_seconds_that_can_be_true_are_believed(duration, elapsed, changes):
    """A worker that was busy for a second, clocks that differ by a hair, a process that imported first."""
    assert untimed(duration, elapsed=elapsed, **changes) == ""
