"""How many pairs will it take? A formula before the first pair, a simulation from then on.

Never a reason to stop: only the evidence is.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from shadoweval.evidence.bets import Side, growth_table, log_mixture
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError, at_least, share
from shadoweval.evidence.small_samples import mean_log_e_once

__all__ = ["cases_to_go", "pairs_to_go", "planned_pairs"]

_MEDIAN_FACTOR, _MOST_FACTOR = 0.55, 1.65  # measured for HistBet over the scenarios of the power benchmark
_SMALLEST_STEP, _STEP_GROWTH = 50, 0.02


def pairs_needed(variance: float, gap: float, *, alpha: float = 0.05, power: float = 0.95) -> int:
    """Pairs for one look at a fixed sample: ceil((z_alpha + z_power)^2 variance / gap^2).

    The variance is that of the paired difference, the gap its true mean less the margin; alpha is one-sided.
    """
    if gap == 0 or not math.isfinite(gap):
        raise StatsInputError(f"gap must be a number other than zero, got {gap!r}: no sample shows a gap of zero.")
    at_least(variance, 0, name="variance")
    quantile = NormalDist().inv_cdf
    z = quantile(1 - share(alpha, "alpha")) + quantile(share(power, "power"))
    return max(1, math.ceil(z * z * variance / gap**2))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedPairs:
    """Pairs that a finding takes: `fixed` with a single look, `half` of the runs here, `most` (95 %) of them."""

    fixed: int
    half: int
    most: int


def planned_pairs(variance: float, gap: float) -> PlannedPairs:
    """What to expect before any pair: HistBet needs 0.55 (half of the runs) to 1.65 (95 %) of the fixed sample."""
    fixed = pairs_needed(variance, gap)
    return PlannedPairs(fixed=fixed, half=math.ceil(_MEDIAN_FACTOR * fixed), most=math.ceil(_MOST_FACTOR * fixed))


@dataclass(frozen=True, slots=True, kw_only=True)
class PairsToGo:
    """How many more pairs until the evidence suffices, in simulated futures that look like the past.

    Attributes:
        early: One future in ten is done by then.
        median: Half of the futures are.
        late: Nine in ten are.
        chance: Share of the futures that are done within the horizon; the horizon stands where they are not.
    """

    early: int
    median: int
    late: int
    chance: float


def pairs_to_go(
    evidence: HistBet,
    margin: float,
    side: Side,
    *,
    alpha: float = 0.05,
    horizon: int = 20_000,
    futures: int = 200,
    seed: int = 0,
) -> PairsToGo:
    """Double bootstrap: each future draws its own law from the histogram, Dirichlet(counts), and then its pairs.

    Args:
        evidence: What was seen so far; a few hundred scores.
        margin: What the mean is compared with.
        side: The finding that is awaited.
        alpha: Its level.
        horizon: Pairs after which a future is given up.
        futures: How many to simulate.
        seed: Of the simulation; the same seed gives the same answer.
    """
    if not evidence.n:
        raise StatsInputError("No score yet, so there is no past to draw a future from.")
    needed = math.log(1 / share(alpha, "alpha"))
    at_least(futures, 1, name="futures")
    at_least(horizon, _SMALLEST_STEP, name="horizon")
    random = np.random.default_rng(seed)
    table = growth_table(float(margin), side, lo=evidence.lo, hi=evidence.hi, bins=evidence.bins)
    counts = evidence.counts
    seen = counts > 0
    laws = random.dirichlet(counts[seen], futures)
    wealth = np.tile(counts @ table, (futures, 1))
    done = np.where(log_mixture(wealth) >= needed, 0.0, np.inf)
    elapsed = 0
    while elapsed < horizon and np.isinf(done).any():
        step = min(max(_SMALLEST_STEP, int(elapsed * _STEP_GROWTH)), horizon - elapsed)
        elapsed += step
        waiting = np.flatnonzero(np.isinf(done))
        wealth[waiting] += random.multinomial(step, laws[waiting]) @ table[seen]
        done[waiting[log_mixture(wealth[waiting]) >= needed]] = elapsed
    early, median, late = np.quantile(np.minimum(done, horizon), [0.1, 0.5, 0.9], method="inverted_cdf")
    return PairsToGo(early=int(early), median=int(median), late=int(late), chance=float(np.isfinite(done).mean()))


def cases_to_go(evidence: HistBet, margin: float, side: Side, *, alpha: float, most: int = 100_000) -> int | None:
    """How many more cases a suite takes that is looked at once, if they come out as these; None: more than `most`."""
    needed = math.log(1 / share(alpha, "alpha"))

    def proven(more: int) -> bool:
        return mean_log_e_once(evidence, margin, side, times=1 + more / evidence.n) >= needed

    low, high = 0, 1
    while not proven(high):
        low, high = high, 2 * high
        if low > most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proven(middle) else (middle, high)
    return high
