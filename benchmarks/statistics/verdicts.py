"""Five guards, ten worlds, one rule: who is promoted, rolled back, noticed, and when."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from shadoweval.evidence import first_crossing, log_e_path, mean_log_e, promote_evidence, rollback_evidence

PAIRS, STEP, MIN_UNITS = 10_000, 25, 200
NEEDED = math.log(20)
MARGINS = {"recall": 0.02, "judge": 0.02, "success": 0.01, "error": 0.01, "latency": 0.0}


def scores(rng, *, recall=0.0, success=0.0, error=0.0, latency=1.0) -> dict[str, np.ndarray]:
    """Paired scores of five metrics, larger is better; the latency margin of 20 % is in its threshold."""
    incumbent, candidate = worlds.latencies(rng, PAIRS, scale=latency)
    tau = math.exp(0.8 * 1.6448536)
    return {
        "recall": worlds.recall(rng, PAIRS, candidate=0.80 + recall),
        "judge": worlds.judge(rng, PAIRS),
        "success": worlds.binary(rng, PAIRS, wins=0.015, losses=0.015 - success),
        "error": worlds.binary(rng, PAIRS, wins=0.005, losses=0.005 + error),
        "latency": (incumbent > tau).astype(float) - (candidate > 1.2 * tau),
    }


def outcome(rng, **effects: float) -> tuple[str, float, float]:
    """Outcome of one run, when it came, and when a regression was noticed (inf: never)."""
    data = scores(rng, **effects)

    def paths(side: str, *, margins: bool):
        return np.stack(
            [log_e_path(data[k], -MARGINS[k] if margins else 0.0, side, every=STEP) for k in MARGINS], axis=-1
        )

    def when(evidence):
        return float((first_crossing(evidence, NEEDED) + 1) * STEP)

    evidence = promote_evidence(paths("greater", margins=True))
    evidence[: MIN_UNITS // STEP - 1] = -math.inf
    promoted = when(evidence)
    rolled_back = when(rollback_evidence(paths("less", margins=True)))
    noticed = when(mean_log_e(paths("less", margins=False)))
    if rolled_back <= min(promoted, PAIRS):
        return "rollback", rolled_back, noticed
    return ("promote", promoted, noticed) if promoted <= PAIRS else ("hold", math.inf, noticed)


WORLDS = {
    "equal arms": {},
    "recall +.03": {"recall": 0.03},
    "recall -.01, half the margin": {"recall": -0.01},
    "recall at the margin, -.02": {"recall": -0.02},
    "latency at the margin, +20 %": {"latency": 1.2},
    "success at the margin, -.01": {"success": -0.01},
    "recall -.05": {"recall": -0.05},
    "errors +.03": {"error": 0.03},
    "latency x 1.6": {"latency": 1.6},
    "recall +.05 but errors +.03": {"recall": 0.05, "error": 0.03},
}


def world_bars(name: str, runs: list[tuple[str, float, float]], *, short: bool) -> list[Bar]:
    outcomes = np.array([run[0] for run in runs])
    times, notices = np.array([run[1] for run in runs]), [run[2] for run in runs]
    promoted, rolled_back = outcomes == "promote", outcomes == "rollback"
    if "margin, " in name:
        return [
            rate("verdict", f"{name}: promoted", promoted, limit=0.05),
            rate("verdict", f"{name}: rolled back", rolled_back, limit=0.05),
        ]
    if name == "recall -.01, half the margin":
        return [rate("verdict", f"{name}: rolled back", rolled_back, limit=0.05)]
    if name in {"equal arms", "recall +.03"}:
        bars = [
            rate("verdict", f"{name}: promoted within 10,000", promoted, limit=0.98, sense=">="),
            rate("verdict", f"{name}: rolled back", rolled_back, limit=0.05),
        ]
        if name == "equal arms":
            bars += [
                quantile("verdict", f"{name}: half promoted by pair", times, q=0.5, limit=2_900, short=short),
                quantile("verdict", f"{name}: 90 % promoted by pair", times, q=0.9, limit=5_300, short=short),
            ]
        return bars
    bars = [
        rate("verdict", f"{name}: promoted", promoted, limit=0.05),
        rate("verdict", f"{name}: rolled back within 10,000", rolled_back, limit=0.98, sense=">="),
    ]
    if name == "recall -.05":
        bars += [
            quantile("verdict", f"{name}: half rolled back by pair", times, q=0.5, limit=950, short=short),
            quantile("verdict", f"{name}: half noticed by pair", notices, q=0.5, limit=420, short=short),
        ]
    return bars


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(5)
    bars = []
    for name, effects in WORLDS.items():
        runs = [outcome(rng, **effects) for _ in range(scale.streams(300))]
        bars += world_bars(name, runs, short=scale.short)
    return bars
