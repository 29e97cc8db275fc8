"""Slow candidates: paired exceedance, stochastic order, ratio of quantiles. Looks every ten pairs."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from shadoweval.evidence import ORDER_LEVELS, PairedExceedance, QuantileRatio

NEEDED = math.log(20)
STEP = 10


def alarm_times(rng, *, streams: int, pairs: int, ratio: float, level: float | None, world=None, side="greater"):
    """Pairs until the alarm, of one quantile or (level None) of the mixture over five; inf where none."""
    times = np.full(streams, math.inf)
    for stream in range(streams):
        incumbent, candidate = worlds.latencies(rng, pairs, **(world or {}))
        reference, _ = worlds.latencies(rng, 500)
        tracker = PairedExceedance(ORDER_LEVELS if level is None else (level,), ratio=ratio, reference=reference)
        for start in range(0, pairs, STEP):
            tracker.extend(incumbent[start : start + STEP], candidate[start : start + STEP])
            evidence = tracker.order_log_e() if level is None else tracker.log_e(level, side)
            if evidence >= NEEDED:
                times[stream] = start + STEP
                break
    return times


def ratio_sequences(rng, level: float, *, streams: int, scale: float = 1.0):
    """Which streams ever miss the ratio over 50 looks to 20,000, and the intervals at 5,000."""
    looks = np.unique(np.append(np.round(np.geomspace(50, 20_000, 50)).astype(int), 5_000))
    missed, at_5000 = np.zeros(streams, dtype=bool), []
    for stream in range(streams):
        incumbent, candidate = worlds.latencies(rng, 20_000, scale=scale)
        tracker, seen = QuantileRatio(level, reference=worlds.latencies(rng, 500)[0]), 0
        for look in looks:
            tracker.extend(incumbent[seen:look], candidate[seen:look])
            seen = look
            lower, upper = tracker.interval(0.05)
            missed[stream] |= not lower <= scale <= upper
            if look == 5_000:
                at_5000.append(upper - lower)
    return missed, at_5000


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(3)
    few, many = scale.streams(200), scale.streams(300)
    bars = []
    for level, ratio, world, text in (
        (0.95, 1.0, {}, "equal arms, p95"),
        (0.99, 1.0, {}, "equal arms, p99"),
        (None, 1.0, {}, "equal arms, stochastic order"),
        (0.95, 1.1, {"scale": 1.1}, "10 % slower at a margin of 10 %, p95"),
        (None, 1.1, {"scale": 1.1}, "10 % slower at a margin of 10 %, stochastic order"),
    ):
        times = alarm_times(rng, streams=many, pairs=5_000, ratio=ratio, level=level, world=world)
        bars.append(rate("latency", f"{text}: false alarm within 5,000", np.isfinite(times), limit=0.05))
    at_margin = {"scale": 1.2}
    times = alarm_times(rng, streams=many, pairs=5_000, ratio=1.2, level=0.95, world=at_margin, side="less")
    bars.append(
        rate("latency", "20 % slower at a margin of 20 %, p95: false 'no worse'", np.isfinite(times), limit=0.05)
    )
    for level, ratio, world, limit, text in (
        (None, 1.0, {"scale": 1.2}, 750, "20 % slower, no margin, stochastic order"),
        (None, 1.1, {"scale": 1.5}, 260, "50 % slower, margin 10 %, stochastic order"),
        (0.95, 1.1, {"scale": 1.5}, 750, "50 % slower, margin 10 %, p95"),
        (None, 1.1, {"tail": 0.02, "added": 10.0}, 3_000, "2 % of calls stall, margin 10 %, stochastic order"),
    ):
        times = alarm_times(rng, streams=few, pairs=6_000, ratio=ratio, level=level, world=world)
        bars.append(quantile("latency", f"{text}: 95 % found by pair", times, q=0.95, limit=limit, short=scale.short))
    for level in (0.5, 0.95, 0.99):
        missed, widths = ratio_sequences(rng, level, streams=many)
        bars.append(
            rate(
                "latency",
                f"ratio of p{level:.0%}: ever misses, 51 looks to 20,000".replace("%", ""),
                missed,
                limit=0.05,
            )
        )
        if level == 0.95:
            width = float(np.median(widths))
            bars.append(
                Bar(
                    name="latency",
                    what="ratio of p95: median width at 5,000",
                    measured=width,
                    required=0.21,
                    streams=many,
                )
            )
    missed, _ = ratio_sequences(rng, 0.95, streams=many, scale=1.2)
    bars.append(rate("latency", "ratio of p95, 20 % slower: ever misses, 51 looks to 20,000", missed, limit=0.05))
    return bars
