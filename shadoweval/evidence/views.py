"""The evidence among units that come back, and since a later day: each a view of its own, beside the first clusters.

The first cluster of each unit is the evidence that promotion rests on. Whoever comes back is seen here: generation k
has the k-th cluster of each unit, the window of a day each unit's first cluster since that day. In any of them a unit
counts once, so each is valid for the population of units by itself; a mean of them would not be (each is a martingale
in a filtration of its own: Choe and Ramdas, arXiv 2402.09698), so each view refutes alone, at its own share of alpha
(weighted Bonferroni over running values, valid at every look under any dependence). Metrics that say whether a run was
safe are looked at pair by pair as well: what users met, exact for the running mean given the past.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray
from shadoweval.evidence.returning import Generations

__all__ = ["Places", "View", "Views"]

_LAST: Final = 10
"""The last generation that is a view; what comes back more often is seen by the windows."""
_RETURNING: Final = 0.1
"""Alpha's share of the generations from the second on, of all windows, and of the pairs."""
_DAYS: Final = (*range(1, 11), 13, 16, 20, 25, 31, 39, 49, 61, 76, 95, 119, 149, 186, 233, 291, 364)
"""Days after the first query's on which a window begins."""
_BINS: Final = 400


class View(NamedTuple):
    """What one view says."""

    name: str
    """As people say it: `the 2nd time that units came`; empty: the first clusters."""
    log_share: float
    """Log of its share of alpha, at most 0."""
    log_e: float

    def needed(self, alpha: float) -> float:
        """What `log_e` must reach to refute by itself."""
        return -math.log(alpha) - self.log_share


class Places:
    """Which of a batch's clusters count in which view; the same for each variable that has a value of them all.

    Args:
        which: Which of their units' clusters they are.
        first_day: Of the first query of all, days since 1970.
    """

    def __init__(self, which: Generations, *, first_day: int) -> None:
        self.which, self._first_day = which, first_day
        first = which.number == 1
        self.all_first = bool(first.all())
        """Whether no unit among them has come before."""
        self.firsts: list[tuple[int, IntArray | slice]] = []
        """The first clusters of units, by the period between two windows' beginnings."""
        self.generations: list[tuple[int, IntArray]] = []
        """The second to tenth clusters, by number."""
        self.later: list[tuple[int, IntArray]] = []
        """By window, each unit's first cluster in it that is not the unit's first of all."""
        self._parts: dict[bytes, Places] = {}
        if not first.size:
            return
        ends = self._periods(np.array([which.day.min(), which.day.max()])).tolist()
        if self.all_first and ends[0] == ends[1]:
            self.firsts = [(ends[0], slice(None))]
            return
        period = self._periods(which.day)
        self.firsts = [(k, np.flatnonzero(first & (period == k))) for k in np.unique(period[first]).tolist()]
        self._place_returning(np.flatnonzero(~first), period)

    def _place_returning(self, again: IntArray, period: IntArray) -> None:
        number = self.which.number[again]
        self.generations = [(k, again[number == k]) for k in np.unique(number).tolist() if k <= _LAST]
        before, now = self._periods(self.which.before[again]), period[again]
        reached = range(int(before.min()) + 1, int(now.max()) + 1) if again.size else ()
        windows = ((window, again[(before < window) & (window <= now)]) for window in reached)
        self.later = [(window, at) for window, at in windows if at.size]

    def _periods(self, day: IntArray) -> IntArray:
        return np.searchsorted(_DAYS, day - self._first_day, side="right").astype(np.int64)

    def part(self, which: BoolArray) -> Places:
        """Of some of the clusters; many variables lack a value of the same ones, so it is remembered."""
        name = which.tobytes()
        if name not in self._parts:
            self._parts[name] = Places(self.which.part(which), first_day=self._first_day)
        return self._parts[name]


class Views:
    """The views of one variable beside its first clusters, of which it has `rows` of means.

    Args:
        lo: Smallest possible value.
        hi: Largest possible value.
        bins: Of the histograms; at most 400 are used.
        rows: How many means the variable has.
        every_pair: Whether each pair is looked at as well.
    """

    def __init__(self, lo: float, hi: float, *, bins: int, rows: int, every_pair: bool) -> None:
        self._grid = (lo, hi, min(bins, _BINS))
        self._rows = rows
        self.pairs = self._new() if every_pair else None
        self._generations: dict[int, tuple[HistBet, ...]] = {}
        self._firsts: dict[int, tuple[HistBet, ...]] = {}
        self._later: dict[int, tuple[HistBet, ...]] = {}
        self.alike = True
        """Whether the pairs are the first clusters, since no unit has brought a second pair."""

    def _new(self) -> tuple[HistBet, ...]:
        lo, hi, bins = self._grid
        return tuple(HistBet(lo, hi, bins=bins) for _ in range(self._rows))

    def add_pairs(self, values: FloatArray) -> None:
        """Count every pair, shape (rows, n)."""
        if self.pairs is not None and values.size:
            for mean, row in zip(self.pairs, values, strict=True):
                mean.extend(row)

    def add_firsts(self, parts: Sequence[HistBet], *, period: int) -> None:
        """Count first clusters of units, of one period, as a histogram for each row."""
        for mean, part in zip(self._means(self._firsts, period), parts, strict=True):
            mean.merge(part.coarser(mean.bins))

    def add_returning(self, values: FloatArray, places: Places) -> None:
        """Count the clusters that are not the first ones of their units: means of X over each, shape (rows, m)."""
        self.alike = False
        for group, part in ((self._generations, places.generations), (self._later, places.later)):
            for key, at in part:
                for mean, row in zip(self._means(group, key), values, strict=True):
                    mean.extend(row[at])

    def _means(self, group: dict[int, tuple[HistBet, ...]], key: int) -> tuple[HistBet, ...]:
        if key not in group:
            group[key] = self._new()
        return group[key]

    def of(self, first: float, *, row: int, margin: float, side: Side) -> Iterator[View]:
        """All views on whether a mean lies on a side of the margin; `first` is the first clusters' log evidence."""
        # While the pairs are the first clusters, both are one view; afterwards the pairs have a share of their own, for
        # which all shares are made smaller: the sum of everything that can ever refute stays at 1.
        part = 1.0 if self.pairs is None else 1 / (1 + _RETURNING)
        yield View("", math.log((1 - 2 * _RETURNING) * part), first)
        if self.pairs is not None and not self.alike:
            yield View("all pairs", math.log(_RETURNING * part), self.pairs[row].log_e(margin, side))
        for number, means in self._generations.items():
            share = _RETURNING * part / (number * (number - 1))
            name = f"the {_ordinal(number)} time that units came"
            yield View(name, math.log(share), means[row].log_e(margin, side))
        for window in self._later:
            share = _RETURNING * part / (window * (window + 1))
            days = _DAYS[window - 1]
            name = f"what came {days} day{'s' if days > 1 else ''} after the first query, or later"
            yield View(name, math.log(share), self._since(window, row).log_e(margin, side))

    def _since(self, window: int, row: int) -> HistBet:
        lo, hi, bins = self._grid
        whole = HistBet(lo, hi, bins=bins).merge(self._later[window][row])
        for period, means in self._firsts.items():
            if period >= window:
                whole.merge(means[row])
        return whole

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        groups = {"generations": self._generations, "firsts": self._firsts, "later": self._later}
        state: dict[str, Any] = {
            name: {str(key): [mean.to_state() for mean in means] for key, means in group.items()}
            for name, group in groups.items()
        }
        return state | {"alike": self.alike, "pairs": [mean.to_state() for mean in self.pairs or ()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        for name, group in (
            ("generations", self._generations),
            ("firsts", self._firsts),
            ("later", self._later),
        ):
            for key, means in state[name].items():
                group[int(key)] = tuple(map(HistBet.from_state, means))
        self.alike = state["alike"]
        if self.pairs is not None:
            self.pairs = tuple(map(HistBet.from_state, state["pairs"]))


def _ordinal(number: int) -> str:
    return str(number) + {2: "nd", 3: "rd"}.get(number, "th")
