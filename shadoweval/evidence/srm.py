"""Did as many pairs arrive as planned? A sample-ratio test that may be looked at any time.

A Beta(k p0, k (1 - p0)) mixture of binomial likelihoods against the planned share p0 (Lindon and Malek, arXiv
2011.03567). Checked against savvi.
"""

import math

from shadoweval.evidence.inputs import StatsInputError, at_least, share

__all__ = ["sample_ratio_log_e"]


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def sample_ratio_log_e(kept: int, sent: int, planned: float, *, strength: float = 100.0) -> float:
    """Log evidence that the share kept / sent is not the planned one; alarm at ln(1 / 0.01) is customary.

    Args:
        kept: What arrived.
        sent: What was sent.
        planned: Share that should arrive, in (0, 1).
        strength: How near to the planned share the alternative is thought to be, in imagined observations.

    Raises:
        StatsInputError: Counts or settings are impossible.
    """
    if not 0 <= kept <= sent:
        raise StatsInputError(f"{kept!r} of {sent!r} cannot have arrived.")
    share(planned, "planned")
    at_least(strength, 1e-6, name="strength")
    a, b = strength * planned, strength * (1 - planned)
    lost = sent - kept
    likelihood = kept * math.log(planned) + lost * math.log1p(-planned)
    return _log_beta(a + kept, b + lost) - _log_beta(a, b) - likelihood
