import asyncio

from hypothesis import given
from hypothesis import strategies as st

from shadoweval.candidate.throttle import RunQueue, Throttle


def test_a_rate_limit_halves_and_success_adds():
    """8 runs become 4; each round of 4 successes allows about one more; never more than the ceiling."""
    throttle = Throttle(8, pause=1.0)
    throttle.slow(100.0)
    assert (throttle.allowed, throttle.until) == (4.0, 101.0)

    for _ in range(4):
        throttle.succeed()
    assert 4.8 < throttle.allowed <= 5.0

    for _ in range(100):
        throttle.succeed()
    assert throttle.allowed == 8.0


def test_limits_met_in_the_same_pause_count_once():
    """Runs that were in flight together tell of the same event."""
    throttle = Throttle(8, pause=1.0)
    for _ in range(5):
        throttle.slow(100.0)

    assert throttle.allowed == 4.0
    assert throttle.hits == 5


def test_pauses_double_and_follow_the_server_up_to_a_cap():
    """1, 2, 4 seconds; Retry-After where it is longer; never longer than the cap; and anew after full speed."""
    throttle = Throttle(4, pause=1.0, longest=10.0)
    now, pauses = 0.0, []
    for _ in range(5):
        throttle.slow(now)
        pauses.append(throttle.until - now)
        now = throttle.until
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0]

    throttle = Throttle(4, pause=1.0, longest=10.0)
    throttle.slow(0.0, retry_after=5.0)
    assert throttle.until == 5.0
    throttle.slow(5.0, retry_after=500.0)
    assert throttle.until == 15.0
    for _ in range(100):
        throttle.succeed()
    throttle.slow(20.0)
    assert throttle.until == 21.0


def test_nothing_begins_while_runs_are_held():
    """A minute of rest is no rate limit: it halves nothing, and what waits begins once it is over."""

    async def scenario():
        loop, queue = asyncio.get_running_loop(), RunQueue(2)
        until = loop.time() + 0.2
        queue.throttle.hold(until)
        queue.throttle.hold(until - 0.1)  # never shorter
        await asyncio.gather(queue.enter(lambda: False), queue.enter(lambda: False))
        return loop.time() - until, queue.throttle

    late, throttle = asyncio.run(asyncio.wait_for(scenario(), 60))

    assert late >= -0.01
    assert (throttle.allowed, throttle.hits) == (2.0, 0)


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 50))
def test_at_least_one_run_is_always_allowed(events, most):
    """Whatever comes, between one run and the ceiling may be in flight."""
    throttle = Throttle(most)
    for now, limited in enumerate(events):
        if limited:
            throttle.slow(now * 100.0)
        else:
            throttle.succeed()
        assert 1.0 <= throttle.allowed <= most
