"""How often will someone look? Live traffic is looked at whenever someone likes, a closed suite of cases once.

For many looks evidence is an e-value (betting), which stays valid whenever one stops. For a single look at a suite a
p-value finds more with a few hundred cases; its log(1/p) takes the e-value's place. With fewer than ten pairs that
differ no p-value of a mean can be trusted, so the exact betting evidence stands in.
Sources: Ville 1939; Student 1908; Holm's and Bonferroni's bound for the p-values of several guards. Checked against
scipy and statsmodels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import Edge, HistBet
from shadoweval.evidence.multiplicity import e_closed, mean_log_e

__all__ = ["ALWAYS", "ONCE", "Looks", "MarginTest"]

_FEWEST_DISCORDANT: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginTest:
    """Is a mean greater (less) than `margin`?"""

    mean: HistBet
    margin: float
    side: Side

    @property
    def gap(self) -> float:
        """How far the mean so far lies on that side of the margin; needs a score."""
        return self.mean.mean - self.margin if self.side == "greater" else self.margin - self.mean.mean


class Looks:
    """How evidence is read off a histogram: here by e-values, which may be looked at after every pair."""

    def log_e(self, test: MarginTest) -> float:
        """Log evidence that the mean is on that side of the margin; enough at ln(1 / alpha)."""
        return test.mean.log_e(test.margin, test.side)

    def bound(self, mean: HistBet, alpha: float, edge: Edge) -> float:
        """The margin at which that evidence is just enough."""
        return mean.bound(alpha, edge)

    def merged(self, log_e: Sequence[float]) -> float:
        """Log evidence that something among them is true."""
        return mean_log_e(log_e)

    def named(self, log_e: Sequence[float], alpha: float) -> tuple[int, ...]:
        """Which of them can be named, with a chance of at most alpha to name an innocent one."""
        return tuple(np.flatnonzero(e_closed(log_e, alpha)).tolist())


class _Once(Looks):
    def log_e(self, test: MarginTest) -> float:
        mean = test.mean
        if not _varies(mean):
            return super().log_e(test)
        return -float(_student().logsf(test.gap / math.sqrt(mean.variance / mean.n), mean.n - 1))

    def bound(self, mean: HistBet, alpha: float, edge: Edge) -> float:
        if not _varies(mean):
            return super().bound(mean, alpha, edge)
        width = float(_student().isf(alpha, mean.n - 1)) * math.sqrt(mean.variance / mean.n)
        return max(mean.mean - width, mean.lo) if edge == "lower" else min(mean.mean + width, mean.hi)

    def merged(self, log_e: Sequence[float]) -> float:
        return max(log_e) - math.log(len(log_e))

    def named(self, log_e: Sequence[float], alpha: float) -> tuple[int, ...]:
        needed = math.log(len(log_e) / alpha)
        return tuple(number for number, value in enumerate(log_e) if value >= needed)


def _student() -> Any:
    from shadoweval._optional import require  # noqa: PLC0415 - everything but a single look does without scipy

    return require("scipy.stats", extra="store", needed_for="Judging a suite of cases").t


def _varies(mean: HistBet) -> bool:
    """Whether at least ten values lie apart from the most common one."""
    apart = mean.n - float(mean.counts.max())
    return mean.n > _FEWEST_DISCORDANT and apart >= _FEWEST_DISCORDANT and mean.variance > 0


ALWAYS: Final = Looks()
"""The evidence may be looked at after every pair."""

ONCE: Final[Looks] = _Once()
"""There is one look."""
