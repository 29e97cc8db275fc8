"""How far a mean may stray, at all times at once: the normal-mixture boundary of asymptotic confidence sequences.

Asymptotic means: right for means of many independent terms without rare giants, wrong early on skewed data. That is
good enough for a display or an early notice, not for a promotion. Sources: Robbins (1970); Howard, Ramdas, McAuliffe,
Sekhon (Annals of Statistics 2021); Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory
and asymptotic confidence sequences" (arXiv 2103.06476). Checked against confseq.
"""

import math

from shadoweval.evidence.inputs import at_least, share

__all__ = ["mixture_radius"]


def mixture_radius(n: float, alpha: float, *, optimal_at: float = 1_000) -> float:
    """Half width of a two-sided level-alpha sequence for a mean of n terms, in standard deviations of a term.

    Args:
        n: Terms so far, at least 1.
        alpha: Chance that the mean ever leaves the sequence.
        optimal_at: Number of terms at which the sequence is tightest.

    Raises:
        StatsInputError: An argument is out of range.
    """
    at_least(n, 1, name="n")
    evidence = 2 * math.log(1 / share(alpha, "alpha"))
    rho = at_least(optimal_at, 1, name="optimal_at") / (evidence + math.log1p(evidence))
    return math.sqrt((n + rho) * math.log((n + rho) / (rho * alpha * alpha))) / n
