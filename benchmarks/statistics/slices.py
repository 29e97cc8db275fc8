"""45 overlapping slices, looked at every 500 pairs: which are listed, and how many of those wrongly."""

import math

import numpy as np
from scipy import stats

from benchmarks.statistics.bars import Bar, Scale, rate
from shadoweval.evidence import HistBet, benjamini_hochberg, e_bh, histograms

PAIRS, STEP, Q = 20_000, 500, 0.10
SIZES = [
    *[np.array([0.4, 0.3, 0.15, 0.1, 0.05])] * 3,
    np.array([0.3, 0.2, 0.1, 0.1, 0.08, 0.07, 0.06, 0.04, 0.03, 0.02]),
    np.random.default_rng(1).dirichlet(np.full(20, 2.0)),
]
OFFSETS = np.concatenate([[0], np.cumsum([len(size) for size in SIZES])])
SLICES = int(OFFSETS[-1])
WORLDS = {
    "no slice is bad": [],
    "three bad slices": [(0, 4, -0.08), (3, 7, -0.06), (4, 3, -0.05)],
    "one mildly bad slice": [(1, 3, -0.04)],
}


def world(rng, bad):
    """Scores, slice codes (attributes, pairs) and the true mean of each slice."""
    codes = np.stack(
        [rng.choice(len(size), PAIRS, p=size) + start for size, start in zip(SIZES, OFFSETS, strict=False)]
    )
    mean = np.full(PAIRS, 0.01 if bad else 0.0)
    for attribute, value, shift in bad:
        mean = np.where(codes[attribute] == OFFSETS[attribute] + value, shift, mean)
    scores = np.clip(mean + rng.choice([-0.4, -0.2, 0.0, 0.0, 0.2, 0.4], PAIRS), -1, 1)
    flat = np.bincount(codes.ravel(), np.tile(mean, len(SIZES)), SLICES)
    return scores, codes, flat / np.maximum(np.bincount(codes.ravel(), minlength=SLICES), 1)


def listed(scores, codes):
    """Slices ever listed: by e-BH on current evidence, and by Benjamini-Hochberg on peeked t-tests."""
    evidence = [HistBet() for _ in range(SLICES)]
    ours, peeked = np.zeros(SLICES, dtype=bool), np.zeros(SLICES, dtype=bool)
    for start in range(0, PAIRS, STEP):
        part = slice(start, start + STEP)
        for whole, new in zip(evidence, histograms(scores[part], codes[:, part], SLICES), strict=True):
            whole.merge(new)
        ours |= e_bh([each.log_e(0.0, "less") for each in evidence], Q)
        z = [e.mean / math.sqrt(max(e.variance, 1e-9) / e.n) if e.n >= 30 else 0.0 for e in evidence]
        p = np.where([e.n >= 30 for e in evidence], stats.norm.cdf(z), 1.0)
        peeked |= benjamini_hochberg(p, Q)
    return ours, peeked


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(9)
    bars = []
    for name, bad in WORLDS.items():
        wrong, found, peeked_wrong = [], [], []
        for _ in range(scale.streams(200)):
            scores, codes, truth = world(rng, bad)
            null = truth >= -1e-3 if bad else np.ones(SLICES, dtype=bool)
            ours, peeked = listed(scores, codes)
            wrong.append((ours & null).sum() / max(ours.sum(), 1))
            peeked_wrong.append((peeked & null).sum() / max(peeked.sum(), 1))
            if bad:
                found.append((ours & (truth < -0.02)).sum() / (truth < -0.02).sum())
        bars.append(rate("slices", f"{name}: false share of the listed, 40 looks", wrong, limit=Q))
        bars.append(
            rate("slices", f"{name}: with peeked t-tests (negative control)", peeked_wrong, limit=0.2, sense=">=")
        )
        if bad:
            bars.append(rate("slices", f"{name}: bad slices listed", found, limit=0.9, sense=">="))
    return bars
