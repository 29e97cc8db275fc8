"""Gauges of the breaker."""

import asyncio
import contextvars
import threading
import time

import psutil
import pytest

from shadoweval.testing import FixedClock
from shadoweval.traffic.gauges import Backlog, Gauge, LoopLag, Losses, Throttling, _Beat, resident_bytes


def test_a_gauge_says_what_is_beyond_its_limit():
    """At the limit is good, above it is not, and the sentence holds both numbers."""
    assert Gauge(name="spool", read=lambda: 0.9, limit=0.9).beyond() is None
    assert Gauge(name="spool", read=lambda: 0.95, limit=0.9).beyond() == "spool is 0.95, allowed is 0.9"


def test_a_gauge_that_cannot_be_read_is_beyond_its_limit():
    """Raising and NaN are not good."""
    assert "ZeroDivisionError" in Gauge(name="g", read=lambda: 1 / 0, limit=1.0).beyond()
    assert Gauge(name="g", read=lambda: float("nan"), limit=1.0).beyond() is not None


def test_memory_is_what_psutil_says():
    """Resident memory within 10 % of psutil's number for this process."""
    assert resident_bytes() == pytest.approx(psutil.Process().memory_info().rss, rel=0.1)


def held_up(lag, times, seconds=0.2, *, between=0.05):
    """A loop that something holds up again and again, whoever looks."""

    async def scene():
        lag()
        for _ in range(times):
            await asyncio.sleep(between)
            time.sleep(seconds)  # noqa: ASYNC251 - holding up the loop is the point
            await asyncio.sleep(0)

    asyncio.run(scene())
    return lag()


def test_a_loop_that_is_held_up_lags_whenever_one_looks():
    """What holds it up between two looks is seen: a look when a call begins finds the loop at its best."""
    assert held_up(LoopLag(), 5) >= 0.15


def test_one_pause_is_no_lag():
    """A single garbage collection does not count, however long."""
    clock = FixedClock()

    async def scene():
        lag = LoopLag(clock.seconds)
        lag()
        clock.tick(5)
        await asyncio.sleep(0.1)
        return lag()

    assert asyncio.run(scene()) < 1.0


def test_one_late_call_back_in_twenty_is_a_lag_and_one_in_thirty_is_none():
    """What counts is how often: the fraction of call-backs that are late, whatever lies between them."""
    late = {}
    for every in (15, 60):
        clock = FixedClock()
        beat = _Beat(Gauge, clock.seconds)
        for number in range(240):
            beat._late.append((clock.seconds(), 0.5 if number % every == 0 else 0.0))
            clock.tick(0.03)
        late[every] = beat.lag()

    assert late == {15: 0.5, 60: 0.0}


def test_the_loop_of_each_thread_is_looked_at():
    """One thread's loop is held up, and another asks."""
    lag = LoopLag()
    thread = threading.Thread(target=held_up, args=(lag, 5))
    thread.start()
    thread.join(60)

    assert lag() >= 0.15


def test_a_loop_that_does_not_run_is_not_late():
    """`run_until_complete` again and again, with time in between: nobody waited."""
    lag = LoopLag()
    loop = asyncio.new_event_loop()

    async def look():
        lag()
        await asyncio.sleep(0.06)

    for _ in range(4):
        loop.run_until_complete(look())
        time.sleep(0.5)
    loop.run_until_complete(look())
    late = lag()
    loop.close()

    assert late < 0.4


def test_nobody_looks_longer_than_calls_come():
    """Half a minute after the last call the loop is left alone, and nothing of the caller's is kept meanwhile."""
    clock = FixedClock()
    variable = contextvars.ContextVar("variable")

    async def scene():
        variable.set("of the caller")
        lag, loop = LoopLag(clock.seconds), asyncio.get_running_loop()
        lag()
        before = [variable in handle._context for handle in loop._scheduled]
        clock.tick(31)
        await asyncio.sleep(0.1)
        return before, [handle for handle in loop._scheduled if not handle.cancelled()]

    assert asyncio.run(scene()) == ([False], [])


def test_outside_a_loop_there_is_no_lag():
    """Threads and plain functions have nothing to lag."""
    assert LoopLag()() == 0.0


def test_rate_limits_are_shared_and_fade(tmp_path):
    """One process tells, another reads; after a minute half is left."""
    clock = FixedClock()
    told, read = (Throttling("support", home=tmp_path, clock=clock.seconds) for _ in range(2))
    assert read() == 0.0
    for _ in range(8):
        told.add()
    assert read() == pytest.approx(8.0)
    clock.tick(60)
    assert read() == pytest.approx(4.0)
    told.add(4)
    assert read() == pytest.approx(8.0)
    clock.tick(-3600)
    assert read() == pytest.approx(8.0)


def test_a_damaged_count_is_beyond_every_limit(tmp_path):
    """A file that is none of ours can't be called good."""
    throttling = Throttling("support", home=tmp_path)
    throttling.add()
    (tmp_path / "throttled" / "support").write_bytes(b"rubbish")

    assert "7 bytes" in Gauge(name="rate limits", read=throttling, limit=100.0).beyond()


def test_a_lag_of_long_ago_is_none():
    """What the loop did before a pause of the breaker does not open it again."""
    clock = FixedClock()
    beat = _Beat(Gauge, clock.seconds)
    beat._late.extend([(clock.seconds(), 1.0)] * 20)
    busy = beat.lag()
    clock.tick(30)

    assert (busy, beat.lag()) == (1.0, 0.0)


def test_losses_are_the_share_of_the_last_minutes():
    """Old counts fade, few calls say nothing, and a child of a fork that begins at 0 loses nothing."""
    clock = FixedClock()
    counters = {}
    losses = Losses(lambda: counters, clock.seconds)
    assert losses() == 0.0
    counters |= {"mirrored": 10, "full": 5}
    assert losses() == 0.0  # of fifteen

    counters |= {"mirrored": 75, "full": 20, "transport_error": 5}
    assert losses() == pytest.approx(0.25)

    clock.tick(600)
    counters["mirrored"] += 100
    assert losses() < 0.01
    counters.clear()
    assert losses() < 0.01


def test_what_one_process_tells_another_reads(tmp_path):
    """Age and fill as told last; nothing before that."""
    clock = FixedClock()
    written, read = (Backlog("support", home=tmp_path, clock=clock.seconds) for _ in range(2))
    assert (read.age(), read.fill()) == (0.0, 0.0)

    written.report(age=90.0, fill=0.5)
    written.report(age=120.0, fill=0.25)

    assert (read.age(), read.fill()) == (120.0, 0.25)


def test_a_worker_that_is_gone_says_nothing(tmp_path):
    """A worker that runs at night leaves no backlog behind that would turn the mirror off by day."""
    clock = FixedClock()
    backlog = Backlog("support", home=tmp_path, clock=clock.seconds)
    backlog.report(age=9_000.0, fill=0.9)

    clock.tick(61)

    assert (backlog.age(), backlog.fill()) == (0.0, 0.0)


def test_a_file_that_is_none_of_ours_is_no_answer(tmp_path):
    """It raises, which a gauge takes for beyond its limit."""
    (tmp_path / "backlog").mkdir()
    (tmp_path / "backlog" / "support").write_bytes(b"rubbish")

    with pytest.raises(ValueError, match="7 bytes"):
        Backlog("support", home=tmp_path).age()
