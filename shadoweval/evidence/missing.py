"""What if the pairs that never came were the bad ones? Bounds that need no assumption about them.

Source: Manski, "Nonparametric bounds on treatment effects" (1990); tipping points as in Yan, Lee, Li (2009).
"""

import math

from shadoweval.evidence.inputs import StatsInputError, finite

__all__ = ["TOLERABLE_SHARE", "TOLERABLE_TIPPING", "missing_is_tolerable", "tipping_mean", "worst_case_bound"]

TOLERABLE_SHARE = 0.05
TOLERABLE_TIPPING = -0.25


def _check(missing_share: float, lower: float) -> None:
    if not 0 <= missing_share <= 1:
        raise StatsInputError(f"missing_share must lie in [0, 1], got {missing_share!r}.")
    finite([lower], "lower")


def worst_case_bound(lower: float, missing_share: float, *, lowest: float = -1.0) -> float:
    """Lower bound of the mean over all pairs, were every missing one as bad as can be.

    Args:
        lower: Lower bound of the mean over the pairs that came.
        missing_share: Share of the sampled queries without a pair, for reasons the candidate did not cause.
        lowest: The worst score.

    Raises:
        StatsInputError: The share is not in [0, 1] or the bound not finite.
    """
    _check(missing_share, lower)
    return (1 - missing_share) * lower + missing_share * lowest


def tipping_mean(lower: float, missing_share: float, *, margin: float) -> float:
    """The mean that the missing pairs would need to pull the bound down to -margin; -inf when none are missing.

    Below the worst score nothing can tip the finding.

    Args:
        lower: Lower bound of the mean over the pairs that came.
        missing_share: Share of the sampled queries without a pair.
        margin: Loss that is tolerated, >= 0.

    Raises:
        StatsInputError: The share is not in [0, 1] or the bound not finite.
    """
    _check(missing_share, lower)
    if missing_share == 0:
        return -math.inf if lower >= -margin else math.inf
    return (-margin - (1 - missing_share) * lower) / missing_share


def missing_is_tolerable(lower: float, missing_share: float, *, margin: float, lowest: float = -1.0) -> bool:
    """Whether a finding "no worse by margin" stands in spite of missing pairs.

    It does in the worst case, or when at most 5 % are missing and they would have to lose by 0.25 on average. That
    second rule is a judgement, not a theorem.
    """
    if worst_case_bound(lower, missing_share, lowest=lowest) >= -margin:
        return True
    return missing_share <= TOLERABLE_SHARE and tipping_mean(lower, missing_share, margin=margin) <= TOLERABLE_TIPPING
