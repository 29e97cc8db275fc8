"""How often will someone look? Live traffic is looked at whenever someone likes, a closed suite of cases once.

For many looks evidence is an e-value (betting), which stays valid whenever one stops. For a single look at a suite a
p-value finds more with few cases, and is right however few they are (`small_samples`); its log(1/p) takes the e-value's
place. Sources: Ville 1939; Bonferroni's bound for the p-values of several guards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import Edge, HistBet
from shadoweval.evidence.multiplicity import e_closed, mean_log_e
from shadoweval.evidence.small_samples import mean_bound, mean_log_e_once

__all__ = ["ALWAYS", "ONCE", "Looks", "MarginTest"]


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
        return mean_log_e_once(test.mean, test.margin, test.side)

    def bound(self, mean: HistBet, alpha: float, edge: Edge) -> float:
        return mean_bound(mean, alpha, edge)

    def merged(self, log_e: Sequence[float]) -> float:
        return max(log_e) - math.log(len(log_e))

    def named(self, log_e: Sequence[float], alpha: float) -> tuple[int, ...]:
        needed = math.log(len(log_e) / alpha)
        return tuple(number for number, value in enumerate(log_e) if value >= needed)


ALWAYS: Final = Looks()
"""The evidence may be looked at after every pair."""

ONCE: Final[Looks] = _Once()
"""There is one look."""
