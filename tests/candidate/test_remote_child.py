"""A child seen from the pool: what lies in its channel is read before anybody judges its time."""

import asyncio
import time

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits


@pytest.mark.parametrize("size", [10, 200_000, 900_000])
def test_a_run_that_ended_in_time_is_no_timeout_however_long_the_loop_stood_still(size):
    """Not in one read, nor all in the channel: what is longer than its buffer is written while it is read."""

    async def run():
        limits = Limits(seconds=1.0, grace=0.2, start_seconds=30.0)
        async with pool_of("long_answer", limits=limits) as pool:
            await pool.run(envelope("1"), arm="new")  # so that there is a process
            await pool.run(envelope("1"), arm="new")
            asked = asyncio.create_task(pool.run(envelope(str(size)), arm="new"))
            await asyncio.sleep(0.01)
            time.sleep(3)  # noqa: ASYNC251 - this is what is tested
            return await asked

    observation = asyncio.run(run())
    assert observation.failure is None
    assert observation.outcome.answer == "x" * size


def test_a_run_that_never_ends_is_killed_although_it_writes_all_the_time():
    """What arrives puts the end off once, by seconds."""

    async def run():
        limits = Limits(seconds=0.5, grace=0.2, start_seconds=30.0)
        async with pool_of("chatters", limits=limits) as pool:
            began = time.monotonic()
            return await pool.run(envelope("1"), arm="new"), time.monotonic() - began

    observation, seconds = asyncio.run(run())
    assert observation.failure.kind == "timeout"
    assert seconds < 60
