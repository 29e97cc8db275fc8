"""Five gates, ten worlds, the trial and rules that decide: who is promoted, rolled back, noticed, and when."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from benchmarks.statistics.gates import SECONDS, arms, columns
from shadoweval.protocols import Metric
from shadoweval.records import Coverage
from shadoweval.verdict.decide import decide
from shadoweval.verdict.gates import at_most, no_worse
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

PAIRS, STEP = 10_000, 50
METRICS = [Metric(name=name) for name in ("recall", "judge", "success")] + [
    Metric(name="errors", higher_is_better=False, failure_scores=1.0),
    SECONDS,
]
GATES = [
    no_worse("recall", by=0.02),
    no_worse("judge", by=0.02),
    no_worse("success", by=0.01),
    no_worse("errors", by=0.01),
    at_most("latency.p95", ratio=1.2),
]


def stream(rng, *, recall=0.0, success=0.0, error=0.0, latency=1.0):
    """Pairs of scores of five metrics."""
    return columns(
        {
            "recall": arms(worlds.recall(rng, PAIRS, candidate=0.80 + recall)),
            "judge": arms(worlds.judge(rng, PAIRS)),
            "success": arms(worlds.binary(rng, PAIRS, wins=0.015, losses=0.015 - success)),
            "errors": arms(-worlds.binary(rng, PAIRS, wins=0.005, losses=0.005 + error), ties=0.0),
            "latency": worlds.latencies(rng, PAIRS, scale=latency),
        }
    )


def outcome(rng, **effects: float) -> tuple[str, float, float]:
    """Outcome of one run, when it came, and when a regression was noticed (inf: never); a look every 50 pairs."""
    pairs, trial, noticed = stream(rng, **effects), Trial(METRICS, GATES), math.inf
    for stop in range(STEP, PAIRS + 1, STEP):
        trial.add(pairs.part(slice(stop - STEP, stop)))
        coverage = Coverage(eligible=stop, mirrored=stop, paired=stop, distinct=stop)
        now = trial.last_asked
        found = decide(trial, candidate="c", coverage=coverage, now=now, rules=Rules(), all_reasons=False).outcome
        if found.notices:
            noticed = min(noticed, stop)
        if found.decision != "hold":
            return found.decision, float(stop), noticed
    return "hold", math.inf, noticed


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
        runs = [outcome(rng, **effects) for _ in range(scale.streams(100))]
        bars += world_bars(name, runs, short=scale.short)
    return bars
