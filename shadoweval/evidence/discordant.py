"""Did the candidate win or lose more of the pairs in which the arms differ?

For pairs scored -1 (loss), 0 (tie) or 1 (win), HistBet at margin 0 is the e-process of McNemar's test: among the pairs
that differ, is a win a fair coin flip?
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from shadoweval.evidence.bets import FRACTIONS, Side, growth_table, log_mixture
from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, finite

__all__ = ["PairCounts", "discordant_log_e"]

_GAIN, _LOSS = np.log1p(FRACTIONS), np.log1p(-FRACTIONS)


def discordant_log_e(more: Floats, fewer: Floats) -> FloatArray:
    """Log evidence that differing pairs go one way more often than the other; arrays of counts, any shape.

    Args:
        more: Pairs that went the way the alternative says.
        fewer: Pairs that went the other way.
    """
    for_it, against = finite(more, "more"), finite(fewer, "fewer")
    return log_mixture(for_it[..., np.newaxis] * _GAIN + against[..., np.newaxis] * _LOSS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairCounts:
    """How many pairs the candidate won, lost and tied.

    Raises:
        StatsInputError: A count is negative.
    """

    wins: int
    losses: int
    ties: int = 0

    def __post_init__(self) -> None:
        if min(self.wins, self.losses, self.ties) < 0:
            raise StatsInputError(f"Counts cannot be negative: {self!r}.")

    @classmethod
    def of(cls, differences: Floats) -> Self:
        """The counts of differences candidate - incumbent; only their signs matter."""
        values = finite(differences, "differences")
        wins, losses = int((values > 0).sum()), int((values < 0).sum())
        return cls(wins=wins, losses=losses, ties=values.size - wins - losses)

    @property
    def discordant(self) -> int:
        """Pairs in which the arms differ; fewer than ten say nothing."""
        return self.wins + self.losses

    def __add__(self, other: "PairCounts") -> "PairCounts":
        return PairCounts(wins=self.wins + other.wins, losses=self.losses + other.losses, ties=self.ties + other.ties)

    def log_e(self, margin: float, side: Side) -> float:
        """Log evidence that mean(win) - mean(loss) is on that side of the margin: HistBet on -1, 0 and 1.

        Raises:
            StatsInputError: The margin leaves nothing to bet against.
        """
        table = growth_table(float(margin), side, lo=-1.0, hi=1.0, bins=2)
        return float(log_mixture(np.array([self.losses, self.ties, self.wins], dtype=np.float64) @ table))
