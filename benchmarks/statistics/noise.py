"""Noise of the incumbent against itself, and counts that do not fit the plan."""

import math

import numpy as np

from benchmarks.statistics.bars import Bar, Scale, quantile, rate
from shadoweval.evidence.validity import control_log_e, sample_ratio_log_e
from shadoweval.evidence.variables import Noise, Scores
from shadoweval.evidence.variables import Scale as Range

QUERIES, STEP, RERUN = 6_000, 50, 0.2
NEEDED = math.log(20)


def control_alarm(rng, bias: float) -> bool:
    """Whether the incumbent is ever said to differ from its own re-run, a fifth of the queries re-run."""
    mean = rng.beta(2.0, 1.0, QUERIES)
    served, again = (np.clip(mean + rng.normal(0, 0.1, QUERIES), 0, 1) for _ in range(2))
    again = np.clip(again - bias, 0, 1)
    chosen, known = rng.random(QUERIES) < RERUN, np.ones(STEP, dtype=bool)
    noise = Noise(Range())
    for start in range(0, QUERIES, STEP):
        part = slice(start, start + STEP)
        noise.add_independent(
            Scores(
                incumbent=served[part],
                candidate=served[part],
                incumbent_scored=known,
                candidate_scored=known,
                noise=again[part],
                noise_scored=chosen[part],
            )
        )
        if noise.mean.n and control_log_e(noise.mean) >= math.log(100):
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
    same = [control_alarm(rng, 0.0) for _ in range(streams)]
    biased = [control_alarm(rng, 0.04) for _ in range(streams)]
    planned = [ratio_alarm(rng, 0.98) for _ in range(streams)]
    short = [ratio_alarm(rng, 0.95) for _ in range(streams)]
    return [
        rate("noise", "incumbent re-run on 20 %: false alarm of the control", same, limit=0.01),
        rate("noise", "its re-run scores .04 lower: found within 6,000", biased, limit=0.9, sense=">="),
        rate("sample ratio", "98 % arrive as planned: false alarm within 20,000", np.isfinite(planned), limit=0.05),
        quantile("sample ratio", "95 % arrive: half seen after", short, q=0.5, limit=500, short=scale.short),
    ]
