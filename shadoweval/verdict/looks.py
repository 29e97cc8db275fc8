"""How often will someone look? Live traffic is looked at whenever someone likes, a closed suite of cases once.

For many looks evidence is an e-value (betting), which stays valid whenever one stops. For a single look at a suite a
p-value finds more with a few hundred cases; its log(1/p) takes the e-value's place. With fewer than ten pairs that
differ no p-value of a mean can be trusted, so the exact betting evidence stands in.
Sources: Ville 1939; Student 1908; Holm's and Bonferroni's bound for the p-values of several guards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Protocol

from shadoweval._optional import require
from shadoweval.evidence import FEWEST_DISCORDANT, HistBet, attribute, mean_log_e
from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import Edge
from shadoweval.verdict.rules import Rules

__all__ = ["Looks", "looks_of"]


class Looks(Protocol):
    """How evidence is read off a histogram."""

    def log_e(self, held: HistBet, margin: float, side: Side) -> float:
        """Log evidence that the mean is on that side of the margin; enough at ln(1 / alpha)."""
        ...

    def bound(self, held: HistBet, alpha: float, edge: Edge) -> float:
        """The margin at which that evidence is just enough."""
        ...

    def merged(self, log_e: Sequence[float]) -> float:
        """Log evidence that something among them is true."""
        ...

    def named(self, log_e: Sequence[float], alpha: float) -> tuple[int, ...]:
        """Which of them can be named with certainty alpha."""
        ...


class _Always:
    def log_e(self, held: HistBet, margin: float, side: Side) -> float:
        return held.log_e(margin, side)

    def bound(self, held: HistBet, alpha: float, edge: Edge) -> float:
        return held.bound(alpha, edge)

    def merged(self, log_e: Sequence[float]) -> float:
        return float(mean_log_e(log_e))

    def named(self, log_e: Sequence[float], alpha: float) -> tuple[int, ...]:
        return attribute(log_e, alpha=alpha).named


class _Once:
    def log_e(self, held: HistBet, margin: float, side: Side) -> float:
        if not _varies(held):
            return held.log_e(margin, side)
        gap = held.mean - margin if side == "greater" else margin - held.mean
        statistic = gap / math.sqrt(held.variance / held.n)
        return -float(_student().logsf(statistic, held.n - 1))

    def bound(self, held: HistBet, alpha: float, edge: Edge) -> float:
        if not _varies(held):
            return held.bound(alpha, edge)
        width = float(_student().isf(alpha, held.n - 1)) * math.sqrt(held.variance / held.n)
        return max(held.mean - width, held.lo) if edge == "lower" else min(held.mean + width, held.hi)

    def merged(self, log_e: Sequence[float]) -> float:
        return max(log_e) - math.log(len(log_e))

    def named(self, log_e: Sequence[float], alpha: float) -> tuple[int, ...]:
        needed = math.log(len(log_e) / alpha)
        return tuple(place for place, one in enumerate(log_e) if one >= needed)


def _student() -> Any:
    return require("scipy.stats", extra="store", needed_for="Judging a suite of cases").t


def _varies(held: HistBet) -> bool:
    """Whether at least ten values lie apart from the most common one."""
    return held.n > FEWEST_DISCORDANT and held.n - float(held.counts.max()) >= FEWEST_DISCORDANT and held.variance > 0


_ALWAYS: Final = _Always()
_ONCE: Final = _Once()


def looks_of(rules: Rules) -> Looks:
    """How a trial's evidence is read under these rules."""
    return _ONCE if rules.once else _ALWAYS
