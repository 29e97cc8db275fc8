"""Sessions and repeated queries: counting pairs, against what a trial counts. Looks every 50 queries."""

import math

import numpy as np

from benchmarks.statistics.bars import Bar, Scale, rate
from benchmarks.statistics.gates import arms, columns
from shadoweval.evidence.looks import ALWAYS
from shadoweval.protocols import Metric
from shadoweval.verdict.gates import no_worse
from shadoweval.verdict.trial import Trial

QUERIES, STEP = 5_000, 50
NEEDED = math.log(20)


def sessions(rng, *, size: float, correlation: float, heavy: bool = False):
    """Interleaved sessions whose questions share an effect, mean zero: scores, session keys, seconds."""
    count = int(3 * QUERIES / size) + 50
    sizes = np.minimum(1 + rng.zipf(1.8, count), 200) if heavy else 1 + rng.poisson(size - 1, count)
    starts = np.sort(rng.random(count)) * sizes.sum()
    keys = np.repeat(np.arange(count), sizes)
    gaps = rng.exponential(20.0, keys.size)
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    total = np.cumsum(gaps)
    when = starts[keys] + total - total[first] + gaps[first]
    order = np.argsort(when)[:QUERIES]
    keys, when = keys[order], when[order]
    effect = rng.choice([-1.0, 1.0], count) * math.sqrt(correlation) * 0.35
    noise = rng.choice([-1.0, 1.0], QUERIES) * math.sqrt(1 - correlation) * 0.35
    return np.clip(effect[keys] + noise, -1, 1), keys, when


def duplicates(rng):
    """A few queries come again and again, each with its own fixed outcome."""
    law = 1 / np.arange(1, 20_001) ** 1.1
    keys = rng.choice(law.size, QUERIES, p=law / law.sum())
    return rng.choice([-0.35, 0.0, 0.35], law.size)[keys], keys, np.arange(QUERIES) * 20.0


def alarms(values, when, **identity) -> bool:
    """Whether "worse" is ever claimed of pairs with these keys or clusters."""
    pairs = columns({"m": arms(values)}, asked_at=when, **identity)
    trial = Trial([Metric(name="m")], [no_worse("m", by=0.5)])
    for start in range(0, QUERIES, STEP):
        trial.add(pairs.part(slice(start, start + STEP)))
        if ALWAYS.log_e(trial.claims[0].notices[0]) >= NEEDED:
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
        units = "keys" if make is duplicates else "clusters"
        naive, ours = [], []
        for _ in range(scale.streams(150)):
            values, ids, when = make(rng)
            naive.append(alarms(values, when))
            ours.append(alarms(values, when, **{units: ids}))
        what = f"{name}: false alarm counting pairs (negative control)"
        bars.append(rate("clusters", what, naive, limit=0.18, sense=">="))
        counted = "each query once" if make is duplicates else "sessions as units"
        bars.append(rate("clusters", f"{name}: {counted}", ours, limit=0.05))
    return bars
