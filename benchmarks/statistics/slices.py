"""Slices by five attributes and by pairs of them, looked at every 500 pairs: how many are listed wrongly."""

import math

import numpy as np
from scipy import stats

from benchmarks.statistics.bars import Bar, Scale, rate
from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.evidence.slices import Contrasts, SliceEvidence

PAIRS, STEP, Q = 20_000, 500, 0.10
SIZES = [
    *[np.array([0.4, 0.3, 0.15, 0.1, 0.05])] * 3,
    np.array([0.3, 0.2, 0.1, 0.1, 0.08, 0.07, 0.06, 0.04, 0.03, 0.02]),
    np.random.default_rng(1).dirichlet(np.full(20, 2.0)),
]
WORLDS = {
    "no slice is bad": [],
    "three bad slices": [(0, 4, -0.08), (3, 7, -0.06), (4, 3, -0.05)],
    "one mildly bad slice": [(1, 3, -0.04)],
}


def world(rng, bad):
    """Scores, codes (attributes, pairs) and the true mean of each pair."""
    codes = np.stack([rng.choice(len(size), PAIRS, p=size) for size in SIZES])
    mean = np.full(PAIRS, 0.01 if bad else 0.0)
    for attribute, value, shift in bad:
        mean = np.where(codes[attribute] == value, shift, mean)
    return np.clip(mean + rng.choice([-0.4, -0.2, 0.0, 0.0, 0.2, 0.4], PAIRS), -1, 1), codes, mean


def benjamini_hochberg(p, q: float):
    """Which nulls Benjamini and Hochberg (1995) reject: for one look, never for peeking."""
    order = np.argsort(p, kind="stable")
    small = np.flatnonzero(p[order] <= q * np.arange(1, p.size + 1) / p.size)
    rejected = np.zeros(p.size, dtype=bool)
    rejected[order[: small[-1] + 1 if small.size else 0]] = True
    return rejected


def listed(scores, codes):
    """Slices ever listed as worse: by the slices' evidence, and by Benjamini-Hochberg on peeked t-tests."""
    evidence, ours, peeked = SliceEvidence(), set(), set()
    for start in range(0, PAIRS, STEP):
        part = slice(start, start + STEP)
        attributes = {
            f"a{number}": AttributeColumn(row[part], tuple(f"v{value}" for value in range(len(size))))
            for number, (row, size) in enumerate(zip(codes, SIZES, strict=True))
        }
        evidence.add({"m": Contrasts(scores[part], evidence.profiles(attributes, STEP))})
        ours |= {name for _metric, name in evidence.worse()}
        means = {name: mean for (_, name), mean in evidence.means().items() if mean.n >= 30}
        z = [each.mean / math.sqrt(max(each.variance, 1e-9) / each.n) for each in means.values()]
        if means:
            named = benjamini_hochberg(stats.norm.cdf(z), Q)
            peeked |= {name for name, found in zip(means, named, strict=True) if found}
    return ours, peeked


def true_mean(name: str, codes, mean) -> float:
    """Of the pairs in a slice such as `a0=v1 & a3=v7`."""
    inside = np.ones(mean.size, dtype=bool)
    for term in name.split(" & "):
        attribute, value = term.split("=")
        inside &= codes[int(attribute[1:])] == int(value[1:])
    return float(mean[inside].mean())


def false_share(names, codes, mean, *, null: float) -> float:
    return sum(true_mean(name, codes, mean) >= null for name in names) / max(len(names), 1)


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(9)
    bars = []
    for name, bad in WORLDS.items():
        wrong, found, peeked_wrong = [], [], []
        for _ in range(scale.streams(20)):
            scores, codes, mean = world(rng, bad)
            ours, peeked = listed(scores, codes)
            null = -1e-3 if bad else -1.0
            wrong.append(false_share(ours, codes, mean, null=null))
            peeked_wrong.append(false_share(peeked, codes, mean, null=null))
            if bad:
                found.append(np.mean([f"a{attribute}=v{value}" in ours for attribute, value, _ in bad]))
        bars.append(rate("slices", f"{name}: false share of the listed, 40 looks", wrong, limit=Q))
        what = f"{name}: with peeked t-tests (negative control)"
        bars.append(rate("slices", what, peeked_wrong, limit=0.2, sense=">="))
        if bad:
            bars.append(rate("slices", f"{name}: bad slices listed", found, limit=0.9, sense=">="))
    return bars
