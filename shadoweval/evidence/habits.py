"""What is usual, and since when it no longer is: kinds of things, with a stated rate of false alarms.

Traffic is not exchangeable: a night differs from a day, a user comes again. So the null is no more than a rate: given
the past, at most a share `allowed` of what comes is of an unusual kind. Bets against it are summed over every moment at
which a change could have begun (Shiryaev-Roberts; Shin, Ramdas, Rinaldo, arXiv 2203.03532), as in `decay`; without a
change an alarm within T values has a chance of at most T / level.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from shadoweval.evidence.inputs import StatsInputError, at_least

__all__ = ["REFERENCE", "Habit", "Where"]

REFERENCE: Final = 100
"""Values from which the usual kinds are learnt."""
_TWICE: Final = 2 / REFERENCE
_FRACTIONS: Final = (0.1, 0.5, 0.95)
_MIDDLE: Final = 0.5
_CEILING: Final = 1e300
_KINDS: Final = 50
"""That are told apart while they are learnt; all that come later are unusual."""
_SHOWN: Final = 3


class Where(NamedTuple):
    """A place in the stream."""

    id: str
    at: float
    """Seconds since 1970."""


class Habit:
    """The usual kinds of one thing, and an alarm once others come too often.

    Args:
        allowed: Share of unusual kinds, given the past, that is no change.
        level: What the statistic must reach: the number of values, and of things watched, over the chance of a false
            alarm among them.
        least: Share of the first 100 values from which a kind is usual: far below `allowed`, so that no kind with that
            share is missed by chance.
        before: Values that came before this thing was first there, all of the kind `kind`.
    """

    __slots__ = ("_bets", "_cusum", "_gap", "_level", "_since", "alarmed", "allowed", "kinds", "least", "n", "unusual")

    def __init__(
        self, *, allowed: float, level: float, least: float = _TWICE, before: int = 0, kind: str = "missing"
    ) -> None:
        if not 0 < least <= allowed < 1:
            raise StatsInputError(f"Need 0 < least <= allowed < 1, got {least!r} and {allowed!r}.")
        self.allowed, self.least, self._level = allowed, least, at_least(level, 1, name="level")
        self.n = before
        self.kinds: Counter[str] = Counter({kind: before} if before else {})
        """While they are learnt all kinds, then the usual ones."""
        self._bets = [0.0] * len(_FRACTIONS)
        self._gap = 0
        """Usual values since the last unusual one, which the bets have not lost to yet."""
        self._cusum = 0.0
        self._since: tuple[Where, int] | None = None
        """Where the change seems to have begun (the likeliest place, as a cumulative sum tells), and `n` before it."""
        self.unusual: Counter[str] = Counter()
        """Unusual kinds since then."""
        self.alarmed = False
        if self.learnt:
            self._settle()

    @property
    def learnt(self) -> bool:
        """Whether the usual kinds are known."""
        return self.n >= REFERENCE

    @property
    def rising(self) -> bool:
        """Whether it looks like a change and is none yet."""
        return not self.alarmed and self._cusum > 1

    @property
    def since(self) -> Where | None:
        """Where the change seems to have begun."""
        return None if self._since is None else self._since[0]

    @property
    def counted(self) -> tuple[int, int]:
        """Of how many values since then how many were unusual."""
        return self.unusual.total(), 0 if self._since is None else self.n - self._since[1]

    @property
    def statistic(self) -> float:
        """Evidence of a change."""
        return sum(self._caught_up()) / len(_FRACTIONS)

    def add(self, kind: str, where: Where) -> None:
        """Judge one value, or learn from it while there are few."""
        if not self.learnt:
            if kind in self.kinds or len(self.kinds) < _KINDS:
                self.kinds[kind] += 1
            self.n += 1
            if self.learnt:
                self._settle()
        elif kind in self.kinds:
            self.n += 1
            self._gap += 1
            if not self.alarmed and self._cusum:
                self._cusum = max(0.0, self._cusum + math.log(1 - _MIDDLE))
        else:
            self._lose_habit(kind, where)

    def _settle(self) -> None:
        self.kinds = Counter({kind: n for kind, n in self.kinds.items() if n >= self.least * self.n})

    def _lose_habit(self, kind: str, where: Where) -> None:
        if not self.alarmed and not self._cusum:
            self._since = where, self.n
            self.unusual.clear()
        self.n += 1
        if kind in self.unusual or len(self.unusual) < _SHOWN:
            self.unusual[kind] += 1
        else:
            self.unusual["others"] += 1
        gains = [1 + fraction * (1 / self.allowed - 1) for fraction in _FRACTIONS]
        pairs = zip(self._caught_up(), gains, strict=True)
        self._bets, self._gap = [min((bet + 1) * gain, _CEILING) for bet, gain in pairs], 0
        self._cusum += math.log(1 + _MIDDLE * (1 / self.allowed - 1))
        self.alarmed = self.alarmed or self.statistic >= self._level

    def _caught_up(self) -> list[float]:
        """The bets after what they lost since the last unusual value: bet * k**g + k + k**2 + ... + k**g."""
        lost = [(1 - fraction, (1 - fraction) ** self._gap) for fraction in _FRACTIONS]
        return [b * left + kept * (1 - left) / (1 - kept) for b, (kept, left) in zip(self._bets, lost, strict=True)]

    def to_state(self) -> list[Any]:
        """All of it as plain values but what it was made with."""
        since = None if self._since is None else [*self._since[0], self._since[1]]
        numbers = [self.n, self._gap, self._cusum, self.alarmed]
        return [numbers, dict(self.kinds), self._bets, since, dict(self.unusual)]

    def restore(self, state: list[Any]) -> None:
        """Take up what `to_state` gave."""
        numbers, kinds, bets, since, unusual = state
        self.n, self._gap, self._cusum, self.alarmed = numbers
        self.kinds, self.unusual = _counter(kinds), _counter(unusual)
        self._bets = list(bets)
        self._since = None if since is None else (Where(since[0], since[1]), since[2])


def _counter(counts: Mapping[str, int]) -> Counter[str]:
    return Counter(dict(counts))
