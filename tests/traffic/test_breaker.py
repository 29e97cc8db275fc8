"""The breaker."""

import logging

import numpy as np
import pytest

from shadoweval.errors import ExperimentError
from shadoweval.testing import FixedClock
from shadoweval.traffic.breaker import Breaker, BreakerLimits
from shadoweval.traffic.gauges import Gauge


@pytest.fixture(name="clock")
def _clock():
    return FixedClock()


def stream(breaker, clock, seconds, *, mirrored=0.1, control=0.1, failing=0.0, failing_control=0.0, rate=10, seed=0):
    """Calls for a while, half mirrored and half control; stops when the breaker opens. Returns the seconds it took."""
    rng = np.random.default_rng(seed)
    for i in range(int(seconds * rate)):
        clock.tick(1 / rate)
        if breaker.state == "closed" and breaker.open():
            return i / rate
        is_mirrored = i % 2 == 0
        if is_mirrored and breaker.state != "closed" and breaker.open():
            continue
        typical, share = (mirrored, failing) if is_mirrored else (control, failing_control)
        duration = typical * float(np.exp(rng.normal(0, 0.3)))
        breaker.observe(duration, failed=bool(rng.random() < share), mirrored=is_mirrored)
    return None


def test_it_begins_closed_and_stays_closed_without_calls(clock):
    """No evidence is no suffering: it starts closed."""
    breaker = Breaker(clock=clock.seconds)
    for _ in range(100):
        clock.tick(10)
        assert not breaker.open()
    assert breaker.reason() is None


def test_slower_mirrored_calls_open_it(clock):
    """Half as slow again: it opens, and says by how much."""
    breaker = Breaker(clock=clock.seconds)

    assert stream(breaker, clock, 600, mirrored=0.15) is not None
    assert breaker.state == "open"
    assert "of mirrored calls is at least" in breaker.reason()
    assert "of control calls at most" in breaker.reason()
    assert breaker.trips == 1


def test_a_slow_hour_that_hits_both_sides_does_not(clock):
    """Ten times slower on both sides is not the mirror's doing."""
    breaker = Breaker(clock=clock.seconds)

    assert stream(breaker, clock, 300) is None
    assert stream(breaker, clock, 600, mirrored=1.0, control=1.0) is None


def test_an_absolute_limit_holds_whoever_causes_it(clock):
    """With a latency limit of one's own the mirror goes first when users wait."""
    breaker = Breaker(BreakerLimits(latency=0.5), clock=clock.seconds)

    assert stream(breaker, clock, 300) is None
    assert stream(breaker, clock, 600, mirrored=1.0, control=1.0) is not None
    assert "allowed is 0.5 s" in breaker.reason()


def test_failing_mirrored_calls_open_it(clock):
    """10 % failures against none: it opens; against 10 % in control it does not."""
    breaker = Breaker(clock=clock.seconds)
    assert stream(breaker, clock, 600, failing=0.1, failing_control=0.1) is None
    assert stream(breaker, clock, 900, failing=0.2, failing_control=0.02) is not None
    assert "of mirrored calls fail, of control calls at most" in breaker.reason()


def test_an_absolute_failure_rate_needs_no_control(clock):
    """Without any control call the limit on failures still holds."""
    breaker = Breaker(BreakerLimits(failure_rate=0.05), clock=clock.seconds)
    for i in range(1000):
        clock.tick(0.1)
        breaker.observe(0.1, failed=i % 5 == 0, mirrored=True)

    clock.tick(1)
    assert breaker.open()
    assert "allowed are 5.00%" in breaker.reason()


def test_without_control_calls_latency_compares_nothing(clock):
    """A mirror without a control share is never blamed for latency that it can't be compared for."""
    breaker = Breaker(clock=clock.seconds)
    for _ in range(2000):
        clock.tick(0.1)
        breaker.observe(30.0, failed=False, mirrored=True)
        assert not breaker.open()


def test_a_few_bad_calls_conclude_nothing(clock):
    """Below `enough` mirrored calls, however bad, nothing is concluded."""
    breaker = Breaker(BreakerLimits(latency=0.5), clock=clock.seconds)
    for _ in range(150):
        clock.tick(0.1)
        breaker.observe(9.0, failed=False, mirrored=True)
    clock.tick(2)

    assert not breaker.open()


def test_half_open_probes_close_it_again(clock):
    """After the pause one in ten calls is let through; fifty good ones close it."""
    breaker = Breaker(clock=clock.seconds)
    stream(breaker, clock, 600, mirrored=0.2)
    assert breaker.open()
    clock.tick(29)
    assert breaker.open()
    clock.tick(2)
    let_through = [not breaker.open() for _ in range(100)]
    assert breaker.state == "half_open"
    assert sum(let_through) == 10

    assert stream(breaker, clock, 300, seed=1) is None
    assert breaker.state == "closed"
    assert breaker.reason() is None


def test_bad_probes_double_the_pause(clock):
    """Each time it opens again from half-open the pause is twice as long, up to the longest."""
    limits = BreakerLimits(pause=10, longest=35)
    breaker = Breaker(limits, gauges=[Gauge(name="memory", read=lambda: 2.0, limit=1.0)], clock=clock.seconds)
    pauses, began = [], None
    for _ in range(2000):
        clock.tick(0.5)
        before = breaker.trips
        assert breaker.open() or breaker.trips == 0
        if breaker.trips > before:
            now = clock.seconds()
            pauses += [] if began is None else [now - began]
            began = now

    assert pauses[:4] == pytest.approx([10, 20, 35, 35], abs=1.1)


def test_slow_probes_open_it_again(clock):
    """What was slow and still is slow when probed stays off."""
    breaker = Breaker(clock=clock.seconds)
    stream(breaker, clock, 600, mirrored=0.4)
    first = breaker.trips
    stream(breaker, clock, 600, mirrored=0.4, rate=50)

    assert breaker.trips > first
    assert breaker.state != "closed"


def test_after_a_long_quiet_time_the_pause_is_short_again(clock):
    """A trip an hour after the last one closed starts over."""
    level = [2.0]
    breaker = Breaker(
        BreakerLimits(pause=10, longest=60, probes=1),
        gauges=[Gauge(name="memory", read=lambda: level[0], limit=1.0)],
        clock=clock.seconds,
    )

    def trip():
        level[0] = 2.0
        clock.tick(2)
        assert breaker.open()
        level[0] = 1.0
        clock.tick(9)
        still = breaker.open() and breaker.state == "open"
        clock.tick(2)
        breaker.open()
        short = breaker.state == "half_open"
        clock.tick(60)
        breaker.open()
        clock.tick(1)
        breaker.observe(0.1, failed=False, mirrored=True)
        clock.tick(2)
        assert not breaker.open()
        return still and short

    assert trip()
    assert not trip()
    clock.tick(61)
    assert trip()


def test_calls_that_began_before_the_probing_do_not_count(clock):
    """A call that was slow because of what opened the breaker ends later and must not open it again."""
    level = [2.0]
    breaker = Breaker(
        BreakerLimits(probes=5, latency=1.0),
        gauges=[Gauge(name="memory", read=lambda: level[0], limit=1.0)],
        clock=clock.seconds,
    )
    clock.tick(2)
    assert breaker.open()
    level[0] = 0.0
    clock.tick(31)
    breaker.open()
    for _ in range(50):
        breaker.observe(60.0, failed=False, mirrored=True)
    clock.tick(2)
    breaker.open()
    assert breaker.state == "half_open"
    for _ in range(5):
        breaker.observe(0.1, failed=False, mirrored=True)
    clock.tick(2)
    assert not breaker.open()


def test_opening_and_closing_are_said_once(clock, caplog):
    """A line when it opens with the reason, one when it closes, none in between."""
    level = [2.0]
    breaker = Breaker(
        BreakerLimits(probes=1), gauges=[Gauge(name="spool", read=lambda: level[0], limit=1.0)], clock=clock.seconds
    )
    with caplog.at_level(logging.INFO, "shadoweval.traffic"):
        for _ in range(20):
            clock.tick(1)
            breaker.open()
        level[0] = 0.0
        for _ in range(60):
            clock.tick(1)
            if not breaker.open():
                breaker.observe(0.1, failed=False, mirrored=True)

    assert [(r.levelname, r.why) for r in caplog.records] == [
        ("WARNING", "spool is 2, allowed is 1"),
        ("INFO", "spool is 2, allowed is 1"),
    ]


def test_gauges_are_read_once_a_second_at_most(clock):
    """However many calls come, a gauge costs one reading a second."""
    readings = []
    breaker = Breaker(
        gauges=[Gauge(name="g", read=lambda: len(readings.append(1) or ""), limit=1.0)], clock=clock.seconds
    )
    for _ in range(1000):
        clock.tick(0.01)
        breaker.open()

    assert len(readings) in {9, 10}


def quiet_day(seed, *, hours, control):
    """One breaker over a day in which mirrored calls are like control calls, with slow minutes; whether it opened."""
    rng = np.random.default_rng(seed)
    now = [0.0]
    breaker = Breaker(clock=lambda: now[0])
    calls = int(hours * 3600 * 5)
    busy = np.repeat(np.exp(rng.normal(0, 0.7, calls // 300 + 1)), 300)[:calls]  # each minute has a level of its own
    durations = 0.2 * busy * np.exp(rng.normal(0, 0.5, calls))
    failed, is_control = rng.random(calls) < 0.02, rng.random(calls) < control
    for duration, bad, left_alone in zip(durations.tolist(), failed.tolist(), is_control.tolist(), strict=True):
        now[0] += 0.2
        if breaker.open():
            return True
        breaker.observe(duration, failed=bad, mirrored=not left_alone)
    return False


def test_a_quiet_day_does_not_open_it():
    """Two hours at 5 calls a second, same latency on both sides, 10 % control: closed in three of three worlds."""
    assert [quiet_day(seed, hours=2, control=0.1) for seed in range(3)] == [False] * 3


@pytest.mark.marathon
@pytest.mark.timeout(1800)
def test_false_alarms_are_rare():
    """Forty worlds of 24 hours with equal arms: at most one opens, though it looks every second."""
    opened = sum(quiet_day(seed, hours=24, control=0.1) for seed in range(40))

    assert opened <= 1


@pytest.mark.parametrize(
    "limits", [{"quantiles": [1.0]}, {"quantiles": []}, {"half_life": 0}, {"thin": 0}, {"slower": -1}, {"slow": 1}]
)
def test_limits_that_mean_nothing_are_refused(limits):
    """Limits are checked where they are written."""
    with pytest.raises(ExperimentError):
        BreakerLimits(**limits)


@pytest.mark.parametrize("rate", [20, 30])
def test_a_slow_tail_opens_it_at_moderate_traffic(clock, rate):
    """2 % of the mirrored calls wait twenty times as long, at 5 % control: p99 opens it, median and p95 see nothing."""
    breaker = Breaker(clock=clock.seconds)
    rng = np.random.default_rng(rate)
    opened = False
    for _ in range(3600 * rate):
        clock.tick(1 / rate)
        opened = breaker.open()
        if opened:
            break
        mirrored = bool(rng.random() >= 0.05)
        slow = mirrored and rng.random() < 0.02
        breaker.observe(float(np.exp(rng.normal(-2.3, 0.3))) * (20 if slow else 1), failed=False, mirrored=mirrored)

    assert opened
    assert breaker.reason().startswith("p99 of mirrored calls")


def test_gauges_that_were_chosen_are_the_only_ones(clock):
    """Without a choice the lag of the event loop is looked at, and what the experiment adds; a choice is a choice."""
    added = Gauge(name="added", read=lambda: 2.0, limit=1.0)
    usual, chosen = Breaker(clock=clock.seconds), Breaker(gauges=(), clock=clock.seconds)
    for breaker in (usual, chosen):
        breaker.add_gauges(added)
    clock.tick(2)

    assert (usual.open(), chosen.open()) == (True, False)
    assert [gauge.name for gauge in usual.gauges] == ["event loop lag in seconds", "added"]
