"""Who is compared and when: results in order of completion, and a shadow path that is slower for everybody."""

import math

import numpy as np
from scipy import special

from benchmarks.statistics.bars import Bar, Scale, rate
from shadoweval.evidence.histbet import HistBet

NEEDED = math.log(20)


def false_better(rng, *, watermark: bool, rate_: int = 10, seconds: int = 900, timeout: float = 60.0) -> bool:
    """Slow candidate runs are worse; the means are equal. Looks every 10 s at what was released."""
    count = rate_ * seconds
    sent = np.sort(rng.random(count) * seconds)
    took = np.minimum(np.exp(2.0 + rng.standard_normal(count)), timeout)
    incumbent = (rng.random(count) < 0.80).astype(float)
    chance = np.clip(0.80 + 0.5 * (0.2 - special.ndtr(np.log(took) - 2.0)), 0, 1)
    chance = np.where(took < timeout, chance, 0.0)
    chance = np.clip(chance + 0.80 - chance.mean(), 0, 1)
    candidate = (rng.random(count) < chance).astype(float)
    difference = np.clip(candidate - incumbent - (chance.mean() - 0.80), -1, 1)
    released = np.maximum.accumulate(sent + took) if watermark else sent + took
    order = np.argsort(released, kind="stable")
    released, difference = released[order], difference[order]
    evidence, seen = HistBet(), 0
    for now in np.arange(10, seconds + timeout, 10.0):
        upto = int(np.searchsorted(released, now))
        evidence.extend(difference[seen:upto])
        seen = upto
        if evidence.log_e(0.0, "greater") >= NEEDED:
            return True
    return False


def shadow_path(rng, *, queries: int = 6_000) -> tuple[bool, bool]:
    """False "slower" against the served incumbent, and against its re-run in the shadow path (20 %), 15 % slower."""
    # The re-run shares the query with both, and the slower path with the candidate.
    query = rng.standard_normal(queries)
    served, rerun, candidate = (
        np.exp(0.8 * (math.sqrt(0.5) * query + math.sqrt(0.5) * rng.standard_normal(queries)) + path)
        for path in (0.0, math.log(1.15), math.log(1.15))
    )
    chosen = rng.random(queries) < 0.2
    alarms = []
    for other, used in ((served, np.ones(queries, dtype=bool)), (rerun, chosen)):
        score = np.clip(np.log(candidate / other), -3, 3) / 3
        evidence, alarmed = HistBet(bins=400), False
        for start in range(0, queries, 50):
            part = slice(start, start + 50)
            evidence.extend(score[part][used[part]])
            alarmed |= evidence.log_e(0.0, "greater") >= NEEDED
        alarms.append(alarmed)
    return alarms[0], alarms[1]


def measure(scale: Scale) -> list[Bar]:
    rng = np.random.default_rng(7)
    streams = scale.streams(300)
    completion = [false_better(rng, watermark=False) for _ in range(streams)]
    watermark = [false_better(rng, watermark=True) for _ in range(streams)]
    served, rerun = np.array([shadow_path(rng) for _ in range(streams)]).T
    return [
        rate("order", "judged on completion: false 'better' (negative control)", completion, limit=0.2, sense=">="),
        rate("order", "judged in query order behind a watermark: false 'better'", watermark, limit=0.05),
        rate("order", "against the served incumbent: false 'slower' (negative control)", served, limit=0.9, sense=">="),
        rate("order", "against the incumbent re-run in the shadow path: false 'slower'", rerun, limit=0.05),
    ]
