"""Noise of the incumbent against itself, and counts that do not fit the plan."""

import math

import numpy as np

from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from shadoweval.evidence import HistBet, noise_floor_evidence, sample_ratio_log_e

QUERIES, STEP, RERUN = 6_000, 50, 0.2
NEEDED = math.log(20)


def disagreements(rng, extra: float):
    """Disagreement of candidate and re-run with the incumbent; some queries are unstable by themselves."""
    unstable = rng.beta(0.5, 2.5, QUERIES)
    candidate, rerun = (rng.beta(np.maximum(8 * unstable, 0.02), 8 * (1 - unstable)) for _ in range(2))
    worse = extra * (rng.random(QUERIES) < 0.5) * 2 * rng.random(QUERIES)
    return np.minimum(candidate + worse, 1.0), rerun


def finds_excess(rng, extra: float, *, floor: bool) -> bool:
    """Whether "disagrees more" is ever claimed, above the floor or above zero."""
    candidate, rerun = disagreements(rng, extra)
    again = rng.random(QUERIES) < RERUN
    evidence = HistBet()
    for start in range(0, QUERIES, STEP):
        part = slice(start, start + STEP)
        used = again[part]
        new = noise_floor_evidence(candidate[part][used], rerun[part][used]) if floor else HistBet.of(candidate[part])
        if evidence.merge(new).log_e(0.0, "greater") >= NEEDED:
            return True
    return False


def ratio_alarm(rng, kept: float, *, planned: float = 0.98, sent: int = 20_000) -> float:
    """Messages until the sample ratio alarms at 5 %, looked at every 100; inf without alarm."""
    arrived = np.cumsum(rng.random(sent) < kept)
    for look in range(100, sent + 1, 100):
        if sample_ratio_log_e(int(arrived[look - 1]), look, planned) >= NEEDED:
            return look
    return math.inf


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(12)
    streams = scale.streams(300)
    same = [finds_excess(rng, 0.0, floor=True) for _ in range(streams)]
    more = [finds_excess(rng, 0.1, floor=True) for _ in range(streams)]
    bare = [finds_excess(rng, 0.0, floor=False) for _ in range(streams)]
    planned = [ratio_alarm(rng, 0.98) for _ in range(streams)]
    short = [ratio_alarm(rng, 0.95) for _ in range(streams)]
    return [
        rate("noise", "equal arms, 20 % re-run: false 'disagrees more'", same, limit=0.05),
        rate("noise", "equal arms without a floor (negative control)", bare, limit=0.95, sense=">="),
        rate("noise", "half of the answers differ by .1 more: found within 6,000", more, limit=0.9, sense=">="),
        rate("sample ratio", "98 % arrive as planned: false alarm within 20,000", np.isfinite(planned), limit=0.05),
        quantile("sample ratio", "95 % arrive: half seen after", short, q=0.5, limit=500, short=scale.short),
    ]
