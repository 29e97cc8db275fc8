"""Runs begin no more often than all workers together may."""

import asyncio

import pytest

from shadoweval import Sandbox
from shadoweval.candidate.pool import CandidatePool
from shadoweval.candidate.rates import LONGEST_WAIT, RateLimit
from shadoweval.errors import ArgumentError, StoreError
from shadoweval.records import Envelope
from shadoweval.testing import make_observation, make_query


def entered(limit, *, closed=lambda: False):
    return asyncio.run(asyncio.wait_for(limit.enter(closed), 60))


def test_a_run_begins_at_its_time_and_not_before():
    """A tenth of a second each, twenty of them; each endpoint is asked for the time between two runs."""
    asked = []

    async def scenario():
        loop = asyncio.get_running_loop()
        began, free = loop.time(), loop.time()

        def reserve(endpoint, seconds):
            nonlocal free
            asked.append((endpoint, seconds))
            time, free = max(free, loop.time()), max(free, loop.time()) + seconds
            return time - loop.time()

        limit = RateLimit({"a:1": 10.0}, reserve)
        times = []

        async def run():
            assert await limit.enter(lambda: False)
            times.append(loop.time() - began)

        await asyncio.gather(*(run() for _ in range(20)))
        return sorted(times)

    times = asyncio.run(scenario())

    assert all(time >= 0.1 * number - 0.001 for number, time in enumerate(times))
    assert asked == [("a:1", 0.1)] * 20


def test_each_endpoint_has_its_say():
    """Nobody knows where a run will connect."""
    asked = []
    limit = RateLimit({"a:1": 2.0, "b:2": 4.0}, lambda *each: asked.append(each) or 0.0)

    assert entered(limit)
    assert asked == [("a:1", 0.5), ("b:2", 0.25)]


@pytest.mark.parametrize("wait", [LONGEST_WAIT + 1, "away"])
def test_a_run_whose_time_is_not_in_sight_is_given_back(wait):
    """Too many wait before it, or the store can't be asked."""

    def reserve(_endpoint, _seconds):
        if wait == "away":
            raise StoreError("gone")
        return wait

    assert not entered(RateLimit({"a:1": 1.0}, reserve))


def test_what_did_not_begin_is_open_again():
    """It ends as what is killed does: no try, no failure, no process."""
    pool = CandidatePool({"new": "app:new"}, rate=RateLimit({"a:1": 1.0}, lambda *_: LONGEST_WAIT + 1))
    query = make_query()
    envelope = Envelope(experiment="docs", query=query, served=make_observation(query))

    observation = asyncio.run(asyncio.wait_for(pool.run(envelope, arm="new"), 60))

    assert (observation.failure.kind, observation.live_writes) == ("killed", 0)
    assert observation.query_id == envelope.id


def test_what_waits_for_its_time_is_given_back_once_a_minute_of_rest_begins():
    """It would begin in that minute."""

    async def scenario():
        pool = CandidatePool({"new": "app:new"}, rate=RateLimit({"a:1": 1.0}, lambda *_: 29.0))
        query = make_query()
        envelope = Envelope(experiment="docs", query=query, served=make_observation(query))
        waiting = asyncio.create_task(pool.run(envelope, arm="new"))
        await asyncio.sleep(0)
        pool.hold(60.0)
        return await asyncio.wait_for(waiting, 25)

    assert asyncio.run(scenario()).failure.kind == "killed"


def test_a_kill_ends_the_waiting():
    """What has not begun does not begin, though its time would come."""
    asked = []

    def closed():
        asked.append(1)
        return len(asked) > 2

    assert not entered(RateLimit({"a:1": 1.0}, lambda *_: 29.0), closed=closed)


def test_a_rate_is_of_what_is_allowed():
    """An endpoint that the guard refuses anyway is a slip of the pen; so is a rate of nothing."""
    assert Sandbox(allow=["localhost:80"], rate={"localhost:80": 2}).rate == {"localhost:80": 2}
    assert Sandbox(guard=False, rate={"localhost:80": 0.5}).rate == {"localhost:80": 0.5}
    for rate in ({"localhost:81": 2}, {"localhost:80": 0}, {"localhost": 2}):
        with pytest.raises(ArgumentError, match="rate"):
            Sandbox(allow=["localhost:80"], rate=rate)
