"""Can the comparison be trusted at all: pairs that are missing, shares that do not fit, an incumbent unlike itself.

Sources: Manski, "Nonparametric bounds on treatment effects" (1990); tipping points as in Yan, Lee, Li (2009);
sample-ratio test: a Beta(k p0, k (1 - p0)) mixture of binomial likelihoods against the planned share p0 (Lindon and
Malek, arXiv 2011.03567), checked against savvi.
"""

import math
from typing import Final

import numpy as np

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError, at_least, finite, share

__all__ = ["TOLERABLE_SHARE", "control_log_e", "missing_is_tolerable", "sample_ratio_log_e", "share_exceeds"]

TOLERABLE_SHARE: Final = 0.05
"""Above it only the worst case counts."""
_FAR: Final = 0.25
_ALARM: Final = math.log(1 / 0.01)


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
    """
    _check(missing_share, lower)
    return (1 - missing_share) * lower + missing_share * lowest


def tipping_mean(lower: float, missing_share: float, *, margin: float) -> float:
    """The mean that the missing pairs would need to pull the bound down to -margin; -inf when none are missing.

    Below the worst score nothing can tip the finding. `margin` is the loss that is tolerated, >= 0; else as above.
    """
    _check(missing_share, lower)
    if missing_share == 0:
        return -math.inf if lower >= -margin else math.inf
    return (-margin - (1 - missing_share) * lower) / missing_share


def missing_is_tolerable(
    lower: float, missing_share: float, *, margin: float, lowest: float = -1.0, far: float = _FAR
) -> bool:
    """Whether a finding "no worse by margin" stands in spite of missing pairs.

    It does in the worst case, or when at most 5 % are missing and they would have to lose by `far` on average. That
    second rule is a judgement, not a theorem.
    """
    if worst_case_bound(lower, missing_share, lowest=lowest) >= -margin:
        return True
    few = missing_share <= TOLERABLE_SHARE
    return few and tipping_mean(lower, missing_share, margin=margin) <= -far


def share_exceeds(n: int, of: int, limit: float) -> bool:
    """Whether a share n / of is above the limit beyond what chance explains, however often one looks.

    One of seventeen is no evidence of more than 5 %; one of a single thing can't be.
    """
    if not of or n / of <= limit:
        return False
    return limit <= 0 or sample_ratio_log_e(n, of, limit) >= _ALARM


def sample_ratio_log_e(arrived: int, sent: int, planned: float, *, strength: float = 100.0) -> float:
    """Log evidence that the share arrived / sent is not the planned one, at any time; alarm at ln(1 / 0.01).

    Args:
        arrived: What arrived.
        sent: What was sent.
        planned: Share that should arrive, in (0, 1).
        strength: How near to the planned share the alternative is thought to be, in imagined observations.
    """
    if not 0 <= arrived <= sent:
        raise StatsInputError(f"{arrived!r} of {sent!r} cannot have arrived.")
    share(planned, "planned")
    at_least(strength, 1e-6, name="strength")
    a, b = strength * planned, strength * (1 - planned)
    lost = sent - arrived
    likelihood = arrived * math.log(planned) + lost * math.log1p(-planned)
    return _log_beta(a + arrived, b + lost) - _log_beta(a, b) - likelihood


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def control_log_e(evidence: HistBet) -> float:
    """Log evidence that the mean of second run - first run is not zero, either way; alarm at ln(1 / 0.01).

    The engine on incumbent against incumbent is a control: an alarm means that the comparison itself is biased
    (position bias of a judge, a leaking cache, a wrong clock).
    """
    return float(np.logaddexp(evidence.log_e(0.0, "greater"), evidence.log_e(0.0, "less"))) - math.log(2)
