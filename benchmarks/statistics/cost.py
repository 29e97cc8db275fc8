"""Costs per query: the ratio of means, and what rare loops do to it."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, rate
from benchmarks.statistics.gates import DOLLARS, claim, feed
from shadoweval.evidence.looks import ALWAYS
from shadoweval.evidence.ratios import MeanRatio
from shadoweval.verdict.caps import doubt_of
from shadoweval.verdict.gates import at_most

LOOKS = np.unique(np.round(np.geomspace(100, 10_000, 60)).astype(int))


def ever_misses(rng, spread: float, *, streams: int):
    """Streams of equal arms in which the interval for the ratio ever excludes 1; amounts capped at 40."""
    missed = np.zeros(streams, dtype=bool)
    for stream in range(streams):
        incumbent, candidate = (np.minimum(a, 40.0) for a in worlds.costs(rng, 10_000, spread=spread))
        tracker, seen = MeanRatio(), 0
        for look in LOOKS:
            tracker.extend(incumbent[seen:look], candidate[seen:look])
            seen = look
            lower, upper = tracker.interval(0.05)
            missed[stream] |= not lower <= 1 <= upper
    return missed


def false_cheaper(rng, chance: float, *, streams: int):
    """Streams that say "cheaper" of a candidate that is as dear, for it rarely costs 30 times as much."""
    gate, display = np.zeros(streams, dtype=bool), np.zeros(streams, dtype=bool)
    for stream in range(streams):
        incumbent, candidate = worlds.costs(rng, 10_000, spread=0.5)
        candidate *= np.where(rng.random(10_000) < chance, 30.0, 1.0) / (1 + 29 * chance)
        made, seen = claim(at_most("cost", ratio=1.0, cap=100.0), DOLLARS), 0
        for look in LOOKS:
            part = slice(seen, look)
            feed(made, incumbent[part], candidate[part])
            seen = look
            gate[stream] |= ALWAYS.log_e(made.holds) >= math.log(20)
            display[stream] |= made.ratio.interval(0.1)[1] < 1
    return gate, display


def false_within(rng, spread: float, loops: float, *, streams: int):
    """Streams in which the gate without a cap, as by default, says "at most 1.1 x" of a candidate at exactly that.

    Costs are log-normal; in a share `loops` of the queries the candidate costs 30 times as much.
    """
    said = np.zeros(streams, dtype=bool)
    for stream in range(streams):
        incumbent, candidate = worlds.costs(rng, 10_000, spread=spread)
        candidate *= 1.1 * np.where(rng.random(10_000) < loops, 30.0, 1.0) / (1 + 29 * loops)
        made, seen = claim(at_most("cost", ratio=1.1), DOLLARS), 0
        for look in LOOKS:
            feed(made, incumbent[seen:look], candidate[seen:look])
            seen = look
            proven = ALWAYS.log_e(made.holds) >= math.log(20)
            means = float(incumbent[:look].mean()), float(candidate[:look].mean())
            said[stream] |= proven and not doubt_of(made, means, proven=True)
    return said


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(4)
    streams = scale.streams(400)
    bars = [
        rate(
            "cost",
            f"log-normal {spread}: interval of the ratio ever misses, 60 looks to 10,000",
            ever_misses(rng, spread, streams=streams),
            limit=0.05,
        )
        for spread in (0.5, 1.0, 1.5)
    ]
    for chance in (0.01, 0.003):
        gate, display = false_cheaper(rng, chance, streams=scale.streams(300))
        world = f"candidate loops in {chance:.1%} of the queries"
        bars.append(rate("cost", f"{world}: exact gate's false 'cheaper'", gate, limit=0.05))
        bars.append(rate("cost", f"{world}: the display's (negative control)", display, limit=0.3, sense=">="))
    for spread, loops in ((0.5, 0.0), (1.0, 0.0), (1.5, 0.0), (0.5, 0.01), (0.5, 0.003)):
        world = f"log-normal {spread}" + (f", candidate loops in {loops:.1%}" if loops else "")
        said = false_within(rng, spread, loops, streams=scale.streams(150))
        bars.append(rate("cost", f"{world}: default gate's false 'at most 1.1 x'", said, limit=0.05))
    return bars
