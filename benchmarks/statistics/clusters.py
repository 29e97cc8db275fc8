"""Sessions and repeated queries: counting pairs, against counting clusters. Looks every 50 queries."""

import math

import numpy as np

from benchmarks.statistics.bars import Bar, Scale, rate
from shadoweval.evidence import ClusterRobustMean, HistBet, cluster_means, first_occurrences

QUERIES, STEP = 5_000, 50
NEEDED = math.log(20)


def sessions(rng, *, size: float, correlation: float, heavy: bool = False):
    """Interleaved sessions whose questions share an effect; mean difference zero. Returns scores and session keys."""
    count = int(3 * QUERIES / size) + 50
    sizes = np.minimum(1 + rng.zipf(1.8, count), 200) if heavy else 1 + rng.poisson(size - 1, count)
    starts = np.sort(rng.random(count)) * sizes.sum()
    keys = np.repeat(np.arange(count), sizes)
    gaps = rng.exponential(20.0, keys.size)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    total = np.cumsum(gaps)
    when = starts[keys] + total - total[first] + gaps[first]
    keys = keys[np.argsort(when)[:QUERIES]]
    effect = rng.choice([-1.0, 1.0], count) * math.sqrt(correlation) * 0.35
    noise = rng.choice([-1.0, 1.0], QUERIES) * math.sqrt(1 - correlation) * 0.35
    return np.clip(effect[keys] + noise, -1, 1), keys


def duplicates(rng):
    """A few queries come again and again, each with its own fixed outcome."""
    law = 1 / np.arange(1, 20_001) ** 1.1
    keys = rng.choice(law.size, QUERIES, p=law / law.sum())
    return rng.choice([-0.35, 0.0, 0.35], law.size)[keys], keys


def alarms(values, when) -> bool:
    """Whether "worse" is ever claimed when the value at index `when` counts from then on."""
    evidence, seen = HistBet(), 0
    for look in range(STEP, QUERIES + 1, STEP):
        upto = int(np.searchsorted(when, look))
        evidence.extend(values[seen:upto])
        seen = upto
        if evidence.log_e(0.0, "less") >= NEEDED:
            return True
    return False


def robust_alarms(values, keys) -> bool:
    tracker = ClusterRobustMean()
    for start in range(0, QUERIES, STEP):
        tracker.extend(values[start : start + STEP], keys[start : start + STEP].tolist())
        if tracker.interval(0.1)[1] < 0:
            return True
    return False


WORLDS = {
    "sessions of 5, correlation 0.3": lambda rng: sessions(rng, size=5, correlation=0.3),
    "sessions of 10, correlation 0.6": lambda rng: sessions(rng, size=10, correlation=0.6),
    "heavy sessions up to 200, correlation 0.3": lambda rng: sessions(rng, size=5, correlation=0.3, heavy=True),
    "repeated queries, Zipf 1.1": duplicates,
}


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(6)
    bars = []
    for name, make in WORLDS.items():
        hits: dict[str, list[bool]] = {"pairs": [], "means": [], "robust": [], "first": []}
        for _ in range(scale.streams(300)):
            values, keys = make(rng)
            hits["pairs"].append(alarms(values, np.arange(QUERIES)))
            hits["means"].append(alarms(*cluster_means(values, keys)))
            hits["robust"].append(robust_alarms(values, keys))
            first = first_occurrences(keys)
            hits["first"].append(alarms(values[first], first))
        bars += [
            rate(
                "clusters",
                f"{name}: false alarm counting pairs (negative control)",
                hits["pairs"],
                limit=0.18,
                sense=">=",
            ),
            rate("clusters", f"{name}: cluster means", hits["means"], limit=0.05),
            rate("clusters", f"{name}: first occurrences", hits["first"], limit=0.05),
            rate("clusters", f"{name}: cluster-robust sequence", hits["robust"], limit=0.05),
        ]
    return bars
