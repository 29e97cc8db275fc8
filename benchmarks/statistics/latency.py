"""Slow candidates: gates on quantiles, the notice that averages over five of them, the ratio that is shown."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from benchmarks.statistics.gates import SECONDS, claim, feed, notice_log_e
from shadoweval.evidence.looks import ALWAYS
from shadoweval.verdict.gates import at_most

NEEDED = math.log(20)
STEP = 10


def broken(made) -> float:
    return ALWAYS.log_e(made.breaks)


def held(made) -> float:
    return ALWAYS.log_e(made.holds)


def alarm_times(rng, *, streams: int, pairs: int, ratio: float, evidence=broken, level: str = "p95", world=None):
    """Pairs until the evidence of one gate suffices, looked at every ten pairs; inf where it never does."""
    times = np.full(streams, math.inf)
    for stream in range(streams):
        incumbent, candidate = worlds.latencies(rng, pairs, **(world or {}))
        made = claim(at_most(f"latency.{level}", ratio=ratio), SECONDS)
        for start in range(0, pairs, STEP):
            feed(made, incumbent[start : start + STEP], candidate[start : start + STEP])
            if evidence(made) >= NEEDED:
                times[stream] = start + STEP
                break
    return times


def ratio_sequences(rng, level: float, *, streams: int, scale: float = 1.0):
    """Which streams ever miss the ratio over 50 looks to 20,000, and the intervals at 5,000."""
    looks = np.unique(np.append(np.round(np.geomspace(50, 20_000, 50)).astype(int), 5_000))
    missed, at_5000 = np.zeros(streams, dtype=bool), []
    for stream in range(streams):
        incumbent, candidate = worlds.latencies(rng, 20_000, scale=scale)
        made, seen = claim(at_most(f"latency.p{100 * level:g}", ratio=1.2), SECONDS), 0
        for look in looks:
            feed(made, incumbent[seen:look], candidate[seen:look])
            seen = look
            lower, upper = made.variables[0].ratio_interval(0.05)
            missed[stream] |= not lower <= scale <= upper
            if look == 5_000:
                at_5000.append(upper - lower)
    return missed, at_5000


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(3)
    few, many = scale.streams(100), scale.streams(150)
    bars = []
    for level, ratio, world, evidence, text in (
        ("p95", 1.0, {}, broken, "equal arms, p95"),
        ("p99", 1.0, {}, broken, "equal arms, p99"),
        ("p95", 1.0, {}, notice_log_e, "equal arms, notice over five quantiles"),
        ("p95", 1.1, {"scale": 1.1}, broken, "10 % slower at a margin of 10 %, p95"),
    ):
        times = alarm_times(rng, streams=many, pairs=5_000, ratio=ratio, evidence=evidence, level=level, world=world)
        bars.append(rate("latency", f"{text}: false alarm within 5,000", np.isfinite(times), limit=0.05))
    times = alarm_times(rng, streams=many, pairs=5_000, ratio=1.2, evidence=held, world={"scale": 1.2})
    what = "20 % slower at a margin of 20 %, p95: false 'no worse'"
    bars.append(rate("latency", what, np.isfinite(times), limit=0.05))
    for ratio, world, limit, evidence, text in (
        (1.0, {"scale": 1.2}, 750, notice_log_e, "20 % slower, notice over five quantiles"),
        (1.1, {"scale": 1.5}, 750, broken, "50 % slower, margin 10 %, p95"),
        (1.1, {"tail": 0.02, "added": 10.0}, 3_000, broken, "2 % of calls stall, margin 10 %, p99"),
    ):
        level = "p99" if "p99" in text else "p95"
        times = alarm_times(rng, streams=few, pairs=6_000, ratio=ratio, evidence=evidence, level=level, world=world)
        bars.append(quantile("latency", f"{text}: 95 % found by pair", times, q=0.95, limit=limit, short=scale.short))
    for level in (0.5, 0.95, 0.99):
        missed, widths = ratio_sequences(rng, level, streams=many)
        what = f"ratio of p{100 * level:g}: ever misses, 51 looks to 20,000"
        bars.append(rate("latency", what, missed, limit=0.05))
        if level == 0.95:
            what, width = "ratio of p95: median width at 5,000", float(np.median(widths))
            bars.append(Bar(name="latency", what=what, measured=width, required=0.21, streams=many))
    missed, _ = ratio_sequences(rng, 0.95, streams=many, scale=1.2)
    bars.append(rate("latency", "ratio of p95, 20 % slower: ever misses, 51 looks to 20,000", missed, limit=0.05))
    return bars
