"""How soon a real difference is found when the evidence is looked at after every pair."""

from functools import partial

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, quantile
from benchmarks.statistics.false_alarms import stopping_times

CASES = [
    ("recall 0.80 to 0.77, r = 0.6", partial(worlds.recall, candidate=0.77), 6_000, {0.5: 575, 0.95: 1_600}),
    ("recall 0.80 to 0.77, r = 0.9", partial(worlds.recall, candidate=0.77, correlation=0.9), 2_000, {0.95: 480}),
    ("recall 0.80 to 0.70, r = 0.6", partial(worlds.recall, candidate=0.70), 1_500, {0.95: 175}),
    ("recall 0.80 to 0.79, r = 0.6", partial(worlds.recall, candidate=0.79), 25_000, {0.95: 15_000}),
    ("errors 0.5 to 1.5 %", partial(worlds.binary, wins=0.005, losses=0.015), 10_000, {0.95: 3_600}),
]


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(2)
    bars = []
    for name, make, pairs, limits in CASES:
        times = stopping_times(make, rng, (scale.streams(1_000), pairs))
        bars += [
            quantile("power", f"{name}: {q:.0%} of the runs found by pair", times, q=q, limit=limit, short=scale.short)
            for q, limit in limits.items()
        ]
    return bars
