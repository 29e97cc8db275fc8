"""What evidence costs: time in units of adding two arrays of 201 floats, and bytes."""

import json
import time
from datetime import UTC, datetime

import numpy as np

from benchmarks.statistics.bars import Bar, Scale
from benchmarks.verdict import GATES, METRICS, made_columns
from shadoweval.evidence.histbet import HistBet
from shadoweval.records import Coverage
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.trial import Trial


def clock(work, repeats: int) -> float:
    """Best of five, seconds per call."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        best = min(best, (time.perf_counter() - start) / repeats)
    return best


def verdict_seconds(pairs: int) -> float:
    """Ten gates and twenty slices with their crosses, from scores in arrays to the verdict."""
    columns = made_columns(pairs)
    start = time.process_time()
    trial = Trial(METRICS, GATES)
    trial.add(columns)
    coverage = Coverage(eligible=pairs, mirrored=pairs, paired=pairs, distinct=pairs)
    assess(trial, experiment="e", candidate="c", coverage=coverage, now=datetime(2030, 1, 1, tzinfo=UTC))
    return time.process_time() - start


def measure(_scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(11)
    a, b = np.zeros(201), np.ones(201)
    unit = clock(lambda: np.add(a, b, out=a), 20_000)
    # All over the range, so that both histograms are filled: the work goes with the filled bins.
    small, large = (HistBet.of(rng.uniform(-1, 1, n)) for n in (1_000, 1_000_000))
    log_e = [clock(lambda h=h: h.log_e(0.0, "less"), 2_000) for h in (small, large)]
    interval = [clock(lambda h=h: h.interval(0.05), 50) for h in (small, large)]
    value = 0.123
    numbers = (
        ("count one score, in units", clock(lambda: large.extend([value]), 5_000) / unit, 100),
        ("log e, in units", log_e[1] / unit, 30),
        ("interval, in units", interval[1] / unit, 2_000),
        ("log e at a million scores over that at a thousand", log_e[1] / log_e[0], 1.5),
        ("interval at a million scores over that at a thousand", interval[1] / interval[0], 1.5),
        ("bytes of JSON state after a million continuous scores", len(json.dumps(large.to_state())), 4_000),
        ("seconds for ten gates over twenty slices of a million pairs", verdict_seconds(1_000_000), 2.0),
    )
    return [Bar(name="effort", what=what, measured=float(value), required=limit) for what, value, limit in numbers]
