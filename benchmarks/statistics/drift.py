"""Alarms over 20,000 observations, and how soon a change at 10,000 is seen."""

import math

import numpy as np

from benchmarks.statistics import worlds
from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from shadoweval.evidence.decay import DecayDetector
from shadoweval.evidence.drift import DriftDetector

LENGTH, CHANGE = 20_000, 10_000


def alarm(detector, *series) -> float:
    """Observation of the alarm, inf without one."""
    for item in zip(*(values.tolist() for values in series), strict=True):
        detector.add(*item)
        if detector.alarmed:
            return float(detector.alarm_at)
    return math.inf


def decay_alarm(series) -> float:
    """Observation of the alarm that a difference turned worse than .01, level 100,000; inf without one."""
    at = DecayDetector(margin=0.01, horizon=LENGTH, alpha=0.2).extend(series).alarm_at
    return math.inf if at is None else float(at)


def fixed_reference_alarms(rng) -> bool:
    """What ranks against a reference that never grows do on a quiet stream."""
    reference = np.sort(rng.standard_normal(1_000))
    p = (np.searchsorted(reference, rng.standard_normal(LENGTH)) + rng.random(LENGTH)) / 1_001
    wealth = np.zeros((2, 8))
    fractions = np.geomspace(0.02, 0.9, 8)
    for shift in 2 * p - 1:
        wealth = (wealth + 1) * (1 + np.outer([shift, -shift], fractions))
        if wealth.mean() >= LENGTH / 0.05:
            return True
    return False


def delay(rng, change, *, streams: int):
    """Observations from the change to the alarm; streams that alarmed before it are left out."""
    delays = []
    for _ in range(streams):
        detector = DriftDetector.from_reference(rng.standard_normal(1_000))
        scores = np.concatenate([rng.standard_normal(CHANGE), change(rng.standard_normal(CHANGE))])
        at = alarm(detector, scores, rng.random(LENGTH))
        delays += [at - CHANGE] * (at > CHANGE)
    return delays


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(10)
    many, few = scale.streams(300), scale.streams(150)
    quiet = [
        alarm(DriftDetector.from_reference(rng.standard_normal(1_000)), rng.standard_normal(LENGTH), rng.random(LENGTH))
        for _ in range(many)
    ]
    bars = [rate("drift", "quiet stream: false alarm within 20,000", np.isfinite(quiet), limit=0.05)]
    fixed = [fixed_reference_alarms(rng) for _ in range(scale.streams(60))]
    bars.append(rate("drift", "quiet stream, fixed reference (negative control)", fixed, limit=0.3, sense=">="))
    for name, change, limit in (
        ("shift of 0.25 deviations", lambda z: z + 0.25, 420),
        ("shift of 0.5 deviations", lambda z: z + 0.5, 140),
        ("shift of 1 deviation", lambda z: z + 1.0, 50),
        ("spread times 1.5", lambda z: 1.5 * z, 180),
    ):
        times = delay(rng, change, streams=few)
        bars.append(quantile("drift", f"{name}: half seen after", times, q=0.5, limit=limit, short=scale.short))
    false = [decay_alarm(worlds.recall(rng, LENGTH)) for _ in range(many)]
    bars.append(rate("decay", "equal arms: false alarm within 20,000", np.isfinite(false), limit=0.05))
    late = []
    for _ in range(many):
        series = np.concatenate([worlds.recall(rng, CHANGE), worlds.recall(rng, CHANGE, candidate=0.75)])
        at = decay_alarm(series)
        late += [at - CHANGE] * (at > CHANGE)
    for q, limit in ((0.5, 660), (0.95, 1_250)):
        what = f"recall turns .05 worse at 10,000: {q:.0%} found after"
        bars.append(quantile("decay", what, late, q=q, limit=limit, short=scale.short))
    return bars
