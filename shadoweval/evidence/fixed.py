"""One look at a fixed set of pairs: the tests for suites of cases, where nobody peeks.

With a few hundred pairs and a single look these find more than an always-valid test can. They are wrong when
repeated until they please. Sources: Student (1908); Fisher (1935), sign-flip permutation; Phipson and Smyth (2010),
(b + 1) / (B + 1); McNemar (1947), exact; Schuirmann (1987), two one-sided tests; Hanley and Lippman-Hand (1983),
rule of three; Wilson (1927). Checked against scipy, statsmodels, truescore and published tables.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, finite, share

__all__ = [
    "FEWEST_DISCORDANT",
    "MeanInterval",
    "TestSide",
    "mcnemar_exact_p",
    "non_inferiority_bound",
    "paired_interval",
    "paired_t_p",
    "rule_of_three",
    "sign_flip_p",
    "wilson_interval",
]

TestSide: TypeAlias = Literal["less", "greater", "two-sided"]

FEWEST_DISCORDANT = 10
"""With fewer pairs that differ, no test here is trustworthy and the answer is "inconclusive"."""

_ENUMERATED = 14
_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanInterval:
    """Mean of paired differences with its t interval.

    Attributes:
        mean: Mean difference.
        lower: Lower end.
        upper: Upper end.
        n: Pairs.
        discordant: Pairs with a difference other than zero.
    """

    mean: float
    lower: float
    upper: float
    n: int
    discordant: int

    @property
    def conclusive(self) -> bool:
        """Whether enough pairs differ for the interval to mean something."""
        return self.discordant >= FEWEST_DISCORDANT


def _student_t() -> Any:
    from scipy import stats  # noqa: PLC0415 - everything but these tests does without scipy

    return stats.t


def _sample(differences: Floats) -> tuple[FloatArray, float, float]:
    values = finite(differences, "differences").ravel()
    if values.size < 2:
        raise StatsInputError(f"A paired test needs at least 2 pairs, got {values.size}.")
    return values, float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)


def paired_interval(differences: Floats, *, alpha: float = 0.05) -> MeanInterval:
    """Two-sided t interval of the mean difference; its ends are the one-sided bounds at level alpha / 2.

    Raises:
        StatsInputError: Fewer than two differences, or one is not finite.
    """
    values, mean, error = _sample(differences)
    width = float(_student_t().ppf(1 - share(alpha, "alpha") / 2, values.size - 1)) * error
    return MeanInterval(
        mean=mean,
        lower=mean - width,
        upper=mean + width,
        n=values.size,
        discordant=int(np.count_nonzero(values)),
    )


def paired_t_p(differences: Floats, *, margin: float = 0.0, side: TestSide = "two-sided") -> float:
    """p-value of the t test that the mean difference is on that side of the margin.

    Non-inferiority by d is ``margin=-d, side="greater"``; equivalence is the larger p of that and ``margin=d,
    side="less"``. Differences that do not vary give 0, 0.5 or 1, or 0 and 1 for two sides.
    """
    values, mean, error = _sample(differences)
    gap = mean - margin
    statistic = gap / error if error > 0 else math.copysign(math.inf, gap) if gap else 0.0
    below = float(_student_t().cdf(statistic, values.size - 1))
    above = float(_student_t().sf(statistic, values.size - 1))
    return {"less": below, "greater": above, "two-sided": min(1.0, 2 * min(below, above))}[side]


def sign_flip_p(differences: Floats, *, side: Side, flips: int = 9_999, seed: int = 0) -> float:
    """p-value of the sign-flip permutation test that the differences are symmetric around zero.

    All flips are tried when at most 14 differences are not zero, else `flips` random ones: (b + 1) / (B + 1).

    Args:
        differences: Candidate - incumbent, shape (n,).
        side: Whether the alternative is a mean `greater` or `less` than zero.
        flips: Random flips.
        seed: Of the random flips; the same seed gives the same p.
    """
    values = finite(differences, "differences").ravel()
    values = values[values != 0] * (1 if side == "greater" else -1)
    size = np.abs(values)
    observed = float(values.sum()) - _TOLERANCE * max(1.0, float(size.sum()))
    if values.size <= _ENUMERATED:
        patterns = np.arange(2**values.size)[:, np.newaxis] >> np.arange(values.size) & 1
        return float((((2 * patterns - 1) @ size) >= observed).mean())
    random = np.random.default_rng(seed)
    as_large = 0
    for start in range(0, flips, 1_000):
        signs = random.integers(0, 2, (min(1_000, flips - start), values.size)) * 2 - 1
        as_large += int(((signs @ size) >= observed).sum())
    return (as_large + 1) / (flips + 1)


def mcnemar_exact_p(wins: int, losses: int, *, side: TestSide = "two-sided") -> float:
    """Exact p-value of McNemar's test: among pairs that differ, is a win a fair coin flip?

    Args:
        wins: Pairs in which only the candidate is right.
        losses: Pairs in which only the incumbent is right.
        side: `greater` when more wins are expected, `less` when more losses are.

    Raises:
        StatsInputError: A count is negative.
    """
    from scipy import stats  # noqa: PLC0415 - see _student_t

    if wins < 0 or losses < 0:
        raise StatsInputError(f"Counts cannot be negative, got {wins!r} wins and {losses!r} losses.")
    if wins + losses == 0:
        return 1.0
    return float(stats.binomtest(wins, wins + losses, 0.5, alternative=side).pvalue)


def non_inferiority_bound(differences: Floats, *, alpha: float = 0.05) -> float:
    """One-sided lower t bound of the mean difference at level alpha; no worse by d when it is above -d."""
    return paired_interval(differences, alpha=2 * alpha).lower


def rule_of_three(n: int, *, alpha: float = 0.05) -> float:
    """Largest rate of an event that n items without one are compatible with: 1 - alpha^(1/n), about 3 / n.

    Raises:
        StatsInputError: n is below 1.
    """
    if n < 1:
        raise StatsInputError(f"The rule of three needs at least one item, got {n!r}.")
    return 1 - share(alpha, "alpha") ** (1 / n)


def wilson_interval(successes: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """Wilson's score interval of a proportion, for one look.

    Raises:
        StatsInputError: Not 0 <= successes <= n with n >= 1.
    """
    if not 0 <= successes <= n or n < 1:
        raise StatsInputError(f"{successes!r} successes of {n!r} is no proportion.")
    z2 = NormalDist().inv_cdf(1 - share(alpha, "alpha") / 2) ** 2
    rate = successes / n
    centre = (rate + z2 / (2 * n)) / (1 + z2 / n)
    width = math.sqrt(z2 * (rate * (1 - rate) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, centre - width), min(1.0, centre + width)
