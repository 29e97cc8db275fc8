"""Does the candidate cost more? The ratio of two means, as a display and as an exact gate.

The display (`MeanRatio`) is the set of ratios rho for which the mean of candidate - rho * incumbent stays within its
asymptotic confidence sequence, a quadratic in rho (Fieller 1954). The gate (`CappedRatio`) bets on
ratio * incumbent - candidate within a declared cap and is exact: where only the candidate loops now and then, the
display claims "cheaper" too early. Checked against root finding over the raw pairs.
"""

import math
from typing import Self

import numpy as np

from shadoweval.evidence.asymptotic import mixture_radius
from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import Floats, StatsInputError, paired
from shadoweval.evidence.packing import Resumable, State, field, numbers

__all__ = ["CappedRatio", "MeanRatio"]

_FEWEST = 100


class MeanRatio(Resumable):
    """Asymptotic confidence sequence for mean(candidate) / mean(incumbent), from six sums; order-free, mergeable."""

    __slots__ = ("_sums", "n")

    def __init__(self) -> None:
        # Sums of candidate, incumbent, candidate^2, incumbent^2, candidate * incumbent.
        self._sums = np.zeros(5)
        self.n = 0

    def extend(self, incumbent: Floats, candidate: Floats) -> Self:
        """Count pairs of amounts.

        Raises:
            StatsInputError: An amount is not finite, or the lengths differ.
        """
        i, c = paired(incumbent, candidate, ("incumbent", "candidate"))
        self._sums += [c.sum(), i.sum(), c @ c, i @ i, c @ i]
        self.n += i.size
        return self

    def add(self, incumbent: float, candidate: float) -> None:
        """Count one pair of amounts."""
        self.extend([incumbent], [candidate])

    def interval(self, alpha: float, *, optimal_at: float = 1_000) -> tuple[float, float]:
        """Two-sided confidence sequence of the ratio; (0, inf) below 100 pairs or while the incumbent may cost nothing.

        Args:
            alpha: Chance that the ratio ever leaves the sequence; a one-sided notice at a uses 2 * a.
            optimal_at: Number of pairs at which the sequence is tightest.
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

    def merge(self, other: Self) -> Self:
        """Add the pairs of another one, in place."""
        self._sums += other._sums
        self.n += other.n
        return self

    def _fields(self) -> State:
        return {"n": self.n, "sums": self._sums.tolist()}

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls()
        made.n = field(state, "n", int)
        made._sums[:] = numbers(state, "sums", made._sums.size)
        return made


class CappedRatio(Resumable):
    """Exact evidence whether mean(candidate) is at most `ratio` times mean(incumbent), amounts capped.

    Args:
        ratio: What the candidate may cost, as a multiple of the incumbent.
        cap: Largest amount that a query can cost (most tokens times their price); more counts as the cap.
        bins: Intervals of the histogram; skewed amounts need thousands.

    Raises:
        StatsInputError: Ratio or cap are not positive.
    """

    __slots__ = ("_evidence", "cap", "capped", "ratio")

    def __init__(self, *, ratio: float, cap: float, bins: int = 4_000) -> None:
        if not (0 < ratio < math.inf and 0 < cap < math.inf):
            raise StatsInputError(f"ratio and cap must be positive, got {ratio!r} and {cap!r}.")
        self.ratio, self.cap = float(ratio), float(cap)
        self.capped = 0
        self._evidence = HistBet(-self.cap, self.ratio * self.cap, bins=bins)

    @property
    def n(self) -> int:
        """Pairs counted; `capped` of them had an amount above the cap."""
        return self._evidence.n

    def extend(self, incumbent: Floats, candidate: Floats) -> Self:
        """Count pairs of amounts >= 0.

        Raises:
            StatsInputError: An amount is negative or not finite, or the lengths differ.
        """
        i, c = paired(incumbent, candidate, ("incumbent", "candidate"))
        if i.size and min(float(i.min()), float(c.min())) < 0:
            raise StatsInputError("Amounts must not be negative.")
        low = self.ratio * np.minimum(i, self.cap) - np.minimum(c, self.cap)
        self._evidence.extend(np.clip(low, self._evidence.lo, self._evidence.hi))  # float error at the ends
        self.capped += int(((i > self.cap) | (c > self.cap)).sum())
        return self

    def add(self, incumbent: float, candidate: float) -> None:
        """Count one pair of amounts."""
        self.extend([incumbent], [candidate])

    def log_e(self, side: Side) -> float:
        """Log evidence that the candidate costs `less` or `greater` than `ratio` times the incumbent."""
        return self._evidence.log_e(0.0, "greater" if side == "less" else "less")

    def merge(self, other: Self) -> Self:
        """Add the pairs of another one, in place.

        Raises:
            StatsInputError: Ratio, cap or bins differ.
        """
        self._evidence.merge(other._evidence)
        self.capped += other.capped
        return self

    def _fields(self) -> State:
        return {
            "ratio": self.ratio,
            "cap": self.cap,
            "capped": self.capped,
            "evidence": self._evidence.to_state(),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        evidence = HistBet.from_state(field(state, "evidence", dict))
        made = cls(ratio=field(state, "ratio", float), cap=field(state, "cap", float), bins=evidence.bins)
        made._evidence = made._evidence.merge(evidence)
        made.capped = field(state, "capped", int)
        return made
