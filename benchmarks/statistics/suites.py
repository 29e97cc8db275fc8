"""Fixed suites that are looked at once, and forecasts of how long a run will take."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, rate
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.looks import ONCE, MarginTest
from shadoweval.evidence.planning import pairs_to_go

MARGIN = 0.02


def false_alarms(rng, cases: int, *, streams: int) -> list[Bar]:
    """Equal arms on suites of recall: two ways to fail them."""
    once, mean = [], []
    for _ in range(streams):
        differences = worlds.recall(rng, cases)
        once.append(ONCE.log_e(MarginTest(mean=HistBet.of(differences), margin=0.0, side="less")) >= math.log(20))
        mean.append(differences.mean() < -MARGIN)
    return [
        rate("suites", f"equal arms, {cases} cases: one look says worse", once, limit=0.05),
        rate("suites", f"equal arms, {cases} cases: 'mean drop > .02' (negative control)", mean, limit=0.2, sense=">="),
    ]


def forecast_covers(rng, *, pilot: int, margin: float, candidate: float) -> bool | None:
    """Whether the wait for "no worse" lies in the forecast's middle eight tenths; None if it was over before."""
    scores = worlds.recall(rng, 24_000, candidate=candidate)
    evidence, needed = HistBet.of(scores[:pilot]), math.log(20)
    if evidence.log_e(-margin, "greater") >= needed:
        return None
    forecast = pairs_to_go(evidence, -margin, "greater", seed=int(rng.integers(2**31)))
    waited = 0
    while waited < 20_000 and evidence.log_e(-margin, "greater") < needed:
        evidence.extend(scores[pilot + waited : pilot + waited + 50])
        waited += 50
    return forecast.early <= waited <= forecast.late


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(13)
    bars = []
    for cases in (50, 100):
        bars += false_alarms(rng, cases, streams=scale.streams(1_000))
    missed = []
    for _ in range(scale.streams(1_000)):
        differences = worlds.recall(rng, 100, candidate=0.78)  # at the margin
        missed.append(ONCE.bound(HistBet.of(differences), 0.05, "lower") > -MARGIN)
    bars.append(rate("suites", "at the margin, 100 cases: bound says no worse", missed, limit=0.05))
    for pilot, margin, candidate in ((300, 0.03, 0.80), (300, 0.02, 0.82), (1_000, 0.02, 0.80)):
        runs = [
            forecast_covers(rng, pilot=pilot, margin=margin, candidate=candidate) for _ in range(scale.streams(100))
        ]
        covered = [run for run in runs if run is not None]
        what = f"gap {candidate - 0.80 + margin:.2f}: forecast's 80 % range after {pilot:,} pairs covers the wait"
        bars.append(rate("planning", what, covered, limit=0.8, sense=">="))
    return bars
