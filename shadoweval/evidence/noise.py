"""How much do two runs of the same pipeline differ? The floor below which no difference is a finding.

The incumbent runs a second time, in the shadow path, on a random share of the queries. Disagreement is judged against
its own, latency and cost against the second run, and the whole engine on incumbent against incumbent is a control: an
alarm there means that the comparison is biased (position bias of a judge, a leaking cache, a wrong clock).
"""

import math

import numpy as np

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import Floats, StatsInputError, at_least, paired, within

__all__ = ["CONTROL_ALPHA", "best_repeats", "control_log_e", "noise_floor_evidence", "rerun_variance"]

CONTROL_ALPHA = 0.01


def noise_floor_evidence(candidate: Floats, rerun: Floats) -> HistBet:
    """Evidence about how much more the candidate disagrees with the incumbent than the incumbent with itself.

    Ask it with margin 0 (or a tolerated excess) and side `greater`.

    Args:
        candidate: Disagreement of the candidate with the incumbent on the re-run queries, in [0, 1], shape (n,).
        rerun: Disagreement of the incumbent's second run with its first on the same queries, in [0, 1], shape (n,).

    Raises:
        StatsInputError: A value is out of range, or the lengths differ.
    """
    ours, floor = paired(candidate, rerun, ("candidate", "rerun"))
    return HistBet.of(within(ours, 0, 1, name="candidate") - within(floor, 0, 1, name="rerun"))


def control_log_e(evidence: HistBet) -> float:
    """Log evidence that the mean of second run - first run is not zero, either way; alarm at ln(1 / 0.01)."""
    return float(np.logaddexp(evidence.log_e(0.0, "greater"), evidence.log_e(0.0, "less"))) - math.log(2)


def rerun_variance(first: Floats, second: Floats) -> float:
    """Variance of one run around its query's mean: half the variance of the difference of two runs.

    Raises:
        StatsInputError: Fewer than two pairs, or a value is not finite.
    """
    one, two = paired(first, second, ("first", "second"))
    if one.size < 2:
        raise StatsInputError(f"A variance needs two re-run queries, got {one.size}.")
    return float((two - one).var(ddof=1)) / 2


def best_repeats(
    between_queries: float, within_query: float, *, query_cost: float, rerun_cost: float, most: int = 100
) -> int:
    """Runs per query that know the mean difference best for the money; usually 1, for more queries know more.

    Minimises (between_queries + within_query / k) * (query_cost + k * rerun_cost), the variance of the mean for a fixed
    budget.

    Args:
        between_queries: Variance of the true difference between queries, > 0 or 0.
        within_query: Variance of a run's difference around it, over both arms.
        query_cost: What a further query costs beside its runs, >= 0.
        rerun_cost: What a run costs, > 0.
        most: Largest answer.

    Raises:
        StatsInputError: An argument is out of range.
    """
    at_least(between_queries, 0, name="between_queries")
    at_least(within_query, 0, name="within_query")
    at_least(query_cost, 0, name="query_cost")
    if rerun_cost <= 0 or not math.isfinite(rerun_cost):
        raise StatsInputError(f"rerun_cost must be a positive number, got {rerun_cost!r}.")
    repeats = np.arange(1, int(at_least(most, 1, name="most")) + 1)
    return int(repeats[((between_queries + within_query / repeats) * (query_cost + repeats * rerun_cost)).argmin()])
