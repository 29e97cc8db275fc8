"""Equal arms, looked at after every pair; intervals looked at 63 times; means that drift."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, rate
from benchmarks.statistics.paths import first_crossing, log_e_path
from shadoweval.evidence.histbet import HistBet

ALPHA = 0.05
NEEDED = math.log(1 / ALPHA)
BLOCK = 20

NULLS = {
    "recall@5, r = 0.6": worlds.recall,
    "judge score": worlds.judge,
    "success, 10 % discordant": worlds.binary,
    "success, 1 % discordant": lambda rng, shape: worlds.binary(rng, shape, wins=0.005, losses=0.005),
    "rare big loss, 1 %": worlds.rare_loss,
    "rare big gain, 1 %": lambda rng, shape: -worlds.rare_loss(rng, shape),
    "rare big gain, 0.2 %": lambda rng, shape: -worlds.rare_loss(rng, shape, size=0.9, chance=0.002),
}


def stopping_times(make, rng, shape, *, margin: float = 0.0, side="less", every: int = 1):
    """Pairs until the evidence suffices, inf where it never does; shape (streams,)."""
    streams, pairs = shape
    times = []
    for start in range(0, streams, BLOCK):
        values = make(rng, (min(BLOCK, streams - start), pairs))
        times.append((first_crossing(log_e_path(values, margin, side, every=every), NEEDED) + 1) * every)
    return np.concatenate(times)


def coverage(name: str, make, rng, *, streams: int) -> list[Bar]:
    """How often the interval ever misses the mean (0) over 63 looks up to 20,000 pairs, and how wide it is."""
    looks = np.unique(np.append(np.round(np.geomspace(10, 20_000, 60)).astype(int), [100, 1_000, 10_000]))
    missed, widths, deviation = np.zeros(streams, dtype=bool), {100: [], 1_000: [], 10_000: []}, []
    for stream in range(streams):
        values = make(rng, (1, 20_000))[0]
        deviation.append(values.std())
        evidence, seen = HistBet(), 0
        for look in looks:
            evidence.extend(values[seen:look])
            seen = look
            lower, upper = evidence.interval(ALPHA)
            missed[stream] |= not lower <= 0 <= upper
            if look in widths:
                widths[look].append((upper - lower) / (2 * 1.96 * values.std() / math.sqrt(look)))
    bars = [rate("coverage", f"{name}: interval ever misses, 63 looks", missed, limit=ALPHA)]
    if name.startswith(("recall", "judge")):
        bars += [
            Bar(
                name="coverage",
                what=f"{name}: width over one-look z interval at {look:,}",
                measured=float(np.mean(ratio)),
                required=2.1 if look == 100 else 1.7,
                streams=streams,
            )
            for look, ratio in widths.items()
        ]
    return bars


def drift_means(rng, pairs: int) -> dict[str, np.ndarray]:
    """Mean differences that vary while their running mean never exceeds zero."""
    t = np.arange(pairs)
    walk, total = [], 0.0
    for block in rng.choice([-0.25, 0.25], pairs // 100):
        step = -abs(block) if total + block > 0 else block
        walk.append(np.full(100, step))
        total += step
    return {
        "daily wave": -0.2 * np.sin(2 * np.pi * t / 1_000),
        "on and off": np.where(t % 400 < 200, -0.3, 0.3),
        "random walk": np.concatenate(walk),
    }


def adaptive_bettor(values):
    """Log wealth of a bettor that follows the recent mean: fine for a constant null, wrong for a running mean."""
    mean, variance = np.zeros(len(values)), np.full(len(values), 0.07)
    wealth, rate_ = np.empty_like(values), 1 - 0.5 ** (1 / 50)
    total = np.zeros(len(values))
    for t in range(values.shape[1]):
        x = values[:, t]
        total += np.log1p(np.clip(mean / (variance + mean**2), 0, 0.5) * x)
        wealth[:, t] = total
        mean += rate_ * (x - mean)
        variance += rate_ * ((x - mean) ** 2 - variance)
    return wealth


def under_drift(rng, *, streams: int, pairs: int = 20_000) -> list[Bar]:
    bars = []
    for name, mean in drift_means(rng, pairs).items():
        null = np.cumsum(mean) <= 1e-9
        ours, adaptive = [], []
        for start in range(0, streams, BLOCK):
            shape = (min(BLOCK, streams - start), pairs)
            values = np.clip(mean + rng.choice([-0.2, 0.2], shape), -1, 1)
            ours.append(((log_e_path(values, 0.0, "greater") >= NEEDED) & null).any(axis=1))
            adaptive.append(((adaptive_bettor(values) >= NEEDED) & null).any(axis=1))
        bars.append(
            rate("drift of the mean", f"{name}: false 'better on average so far'", np.concatenate(ours), limit=0.01)
        )
        bars.append(
            rate(
                "drift of the mean",
                f"{name}: an adaptive bettor's (negative control)",
                np.concatenate(adaptive),
                limit=0.9,
                sense=">=",
            )
        )
    return bars


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(1)
    bars = []
    for name, make in NULLS.items():
        times = stopping_times(make, rng, (scale.streams(1_000), 5_000))
        bars.append(rate("false alarms", f"{name}: 'worse' within 5,000, every pair", np.isfinite(times), limit=ALPHA))
    for name in ("recall@5, r = 0.6", "judge score", "success, 1 % discordant", "rare big loss, 1 %"):
        bars += coverage(name, NULLS[name], rng, streams=scale.streams(400))
    return bars + under_drift(rng, streams=scale.streams(500))
