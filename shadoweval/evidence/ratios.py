"""How many times as dear is the candidate on average? The ratio of two means, for display.

The interval is the set of ratios rho for which the mean of candidate - rho * incumbent stays within its asymptotic
confidence sequence, a quadratic in rho (Fieller 1954). Asymptotic means: right for means of many independent terms
without rare giants, wrong early on skewed data; where only the candidate loops now and then it claims "cheaper" too
early. The gate itself bets on capped amounts and is exact (`capped.CappedRatio`).
Sources: Robbins (1970); Howard, Ramdas, McAuliffe, Sekhon (Annals of Statistics 2021); Waudby-Smith, Arbour, Sinha,
Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences" (arXiv 2103.06476). Checked
against confseq, ville, and root finding over the raw pairs.
"""

import math
from typing import Final, Self

import numpy as np

from shadoweval.evidence.inputs import Floats, at_least, paired, share
from shadoweval.evidence.states import State, field, numbers

__all__ = ["MeanRatio"]

_FEWEST: Final = 100


def mixture_radius(n: float, alpha: float, *, optimal_at: float = 1_000) -> float:
    """Half width of a two-sided level-alpha sequence for a mean of n terms, in standard deviations of a term.

    Args:
        n: Terms so far, at least 1.
        alpha: Chance that the mean ever leaves the sequence.
        optimal_at: Number of terms at which the sequence is tightest.
    """
    at_least(n, 1, name="n")
    evidence = 2 * math.log(1 / share(alpha, "alpha"))
    rho = at_least(optimal_at, 1, name="optimal_at") / (evidence + math.log1p(evidence))
    return math.sqrt((n + rho) * math.log((n + rho) / (rho * alpha * alpha))) / n


class MeanRatio:
    """Asymptotic confidence sequence for mean(candidate) / mean(incumbent), from five sums in any order."""

    __slots__ = ("_sums", "n")

    def __init__(self) -> None:
        # Sums of candidate, incumbent, candidate^2, incumbent^2, candidate * incumbent.
        self._sums = np.zeros(5)
        self.n = 0

    def extend(self, incumbent: Floats, candidate: Floats) -> Self:
        """Count pairs of amounts."""
        i, c = paired(incumbent, candidate, ("incumbent", "candidate"))
        self._sums += [c.sum(), i.sum(), c @ c, i @ i, c @ i]
        self.n += i.size
        return self

    def interval(self, alpha: float, *, optimal_at: float = 1_000) -> tuple[float, float]:
        """Two-sided confidence sequence of the ratio; (0, inf) below 100 pairs or while the incumbent may cost nothing.

        Arguments as of `mixture_radius`; a one-sided notice at level a uses alpha = 2 * a.
        """
        if self.n < _FEWEST:
            return 0.0, math.inf
        radius2 = mixture_radius(self.n, alpha, optimal_at=optimal_at) ** 2
        mean_c, mean_i, *products = self._sums / self.n
        bessel = self.n / (self.n - 1)
        var_c = bessel * (products[0] - mean_c**2)
        var_i = bessel * (products[1] - mean_i**2)
        covariance = bessel * (products[2] - mean_c * mean_i)
        a = mean_i**2 - radius2 * var_i
        half_b = mean_c * mean_i - radius2 * covariance
        discriminant = half_b**2 - a * (mean_c**2 - radius2 * var_c)
        if a <= 0 or discriminant < 0:
            return 0.0, math.inf
        root = math.sqrt(discriminant)
        return max(0.0, float((half_b - root) / a)), float((half_b + root) / a)

    def to_state(self) -> State:
        """All of it as JSON values."""
        return {"n": self.n, "sums": self._sums.tolist()}

    def restore(self, state: State) -> None:
        """Take up what `to_state` gave."""
        self.n, self._sums = field(state, "n", int), numbers(state, "sums", self._sums.size)
