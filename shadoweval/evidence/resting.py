"""Does a shadow slow down what the incumbent shares with it? Working minutes against minutes of rest.

Minutes of rest are drawn beforehand, each with the same chance, whatever the traffic will be. So where the shadow
changes nothing, how slow a minute's calls are says nothing about whether it was one of rest. The test bets on just
that: from a minute's share of slow calls, beside its neighbours', it foretells whether it was one of rest, and what is
foretold well multiplies its wealth. That is a randomisation test as an e-process (Ramdas, Gruenwald, Vovk, Shafer:
Game-theoretic statistics and safe anytime-valid inference, 2023, section 5): chance alone makes the wealth exceed 1/a
ever with a probability of at most a, however often one looks, and however calls depend on each other, on the time of
day, on deploys and bursts. The unit is the minute; calls within one say nothing more about the draw.

What is tolerated stands in the measure: in a working minute a call is slow from a longer duration on. Then the claim
holds for every shadow that slows calls by no more than that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

__all__ = ["Minute", "RestTest"]

_LEVELS: Final = (0.5, 0.9)
"""Which quantiles of the resting minutes' durations a slow call lies above."""
_TEMPERS: Final = (0.3, 1.0)
"""How far each bettor goes by what the last minutes say."""
_BETTORS: Final = len(_LEVELS) * len(_TEMPERS)
_REMEMBERED: Final = 100
_NEIGHBOURS: Final = 5
_LEAST: Final = 5
"""Calls of a minute without which it says nothing; and working minutes before the first bet."""
_RESTS: Final = 2
_MOST: Final = 6.0
_CAUTION: Final = 0.1
"""Part of each stake that is put aside: no minute costs a bettor more than nine tenths."""
_TINY: Final = -700.0


class Minute(msgspec.Struct, frozen=True, array_like=True):
    """One minute's calls."""

    resting: bool
    bins: dict[int, int]
    """Calls by the bin that their duration falls in; a higher bin is a longer one."""

    def slow(self, least: int) -> float:
        """Share of calls from a bin on."""
        return sum(n for index, n in self.bins.items() if index >= least) / self.calls

    @property
    def calls(self) -> int:
        """How many."""
        return sum(self.bins.values())


class RestTest(msgspec.Struct, kw_only=True):
    """Evidence that calls are slower in working minutes than in minutes of rest; plain values, to be kept."""

    minutes: list[Minute] = []
    """The last ones, oldest first."""
    wealth: list[float] = []
    """Log wealth of each bettor."""
    hour: int = -1
    hours: int = 0

    def __post_init__(self) -> None:
        if len(self.wealth) not in {0, _BETTORS} or self.hours < len(self.wealth[:1]):
            raise ValueError("This is no state of a test of minutes of rest.")

    def add(self, minute: Minute, *, share: float, hour: int, tolerated: Callable[[int], int]) -> None:
        """Bet on one minute, then learn from it.

        Args:
            minute: It; one of fewer than five calls is left out.
            share: Chance with which each minute was one of rest, in (0, 1).
            hour: Number of the hour that it lies in. In each the bettors are given a part of the wealth that was put
                aside for it (the k-th 1 / k(k + 1) of the whole), so that quiet weeks don't ruin them.
            tolerated: The bin at which a call of a resting minute begins to be slow -> that of a working minute.
        """
        if minute.calls < _LEAST:
            return
        if hour != self.hour:
            self.hour, self.hours = hour, self.hours + 1
            dealt = -math.log(self.hours * (self.hours + 1) * _BETTORS)
            self.wealth = [_sum_of(log, dealt) for log in self.wealth or [_TINY] * _BETTORS]
        grown = (
            math.log(chance / share if minute.resting else (1 - chance) / (1 - share))
            for chance in self._foretold(minute, share=share, tolerated=tolerated)
        )
        self.wealth = [max(log + growth, _TINY) for log, growth in zip(self.wealth, grown, strict=True)]
        self.minutes = [*self.minutes, minute][-_REMEMBERED:]

    @property
    def log_e(self) -> float:
        """Log evidence, what is put aside included."""
        total = -math.log(self.hours + 1)
        for log in self.wealth:
            total = _sum_of(total, log)
        return total

    def durations(self, *, resting: bool) -> Counter[int]:
        """Calls of the remembered minutes by bin."""
        calls = Counter[int]()
        for minute in self.minutes:
            if minute.resting is resting:
                calls.update(minute.bins)
        return calls

    def _foretold(self, minute: Minute, *, share: float, tolerated: Callable[[int], int]) -> list[float]:
        """Of each bettor, the chance that the minute is one of rest, from how slow it is."""
        if sum(each.resting for each in self.minutes) < _RESTS or len(self.minutes) < _LEAST + _RESTS:
            return [share] * _BETTORS
        rests, chances = self.durations(resting=True), list[float]()
        for level in _LEVELS:
            slow = _quantile(rests, level) + 1
            evidence = _log_ratio([*self.minutes, minute], slow, tolerated(slow))
            for temper in _TEMPERS:
                odds = math.exp(temper * evidence) * share / (1 - share)
                chances.append(_CAUTION * share + (1 - _CAUTION) * odds / (1 + odds))
        return chances


def _log_ratio(minutes: list[Minute], slow: int, later: int) -> float:
    """Log of how much likelier the last minute's slowness is at rest than at work; 0 where rest was no quicker so far.

    Slowness is the share of slow calls less the neighbours' (the working minutes just before), so that what changes
    over the day cancels; it is taken to be normal, with the means of the minutes before and one deviation.
    """
    before: list[float] = []
    apart: tuple[list[float], list[float]] = ([], [])
    for minute in minutes[:-1]:
        slowness = minute.slow(slow if minute.resting else later)
        if before:
            apart[minute.resting].append(slowness - _mean(before[-_NEIGHBOURS:]))
        if not minute.resting:
            before.append(slowness)
    last = minutes[-1]
    working, resting = apart
    if len(resting) < _RESTS or len(working) < _RESTS:
        return 0.0
    at_work, at_rest = _mean(working), _mean(resting)
    if at_rest >= at_work:
        return 0.0
    squares = sum((d - at_work) ** 2 for d in working) + sum((d - at_rest) ** 2 for d in resting)
    calls = _mean([float(minute.calls) for minute in minutes[:-1]])
    usual = min(max(_mean(before), 1 / calls), 1 - 1 / calls)
    variance = max(squares / (len(working) + len(resting) - 2), usual * (1 - usual) / calls)
    slowness = last.slow(slow if last.resting else later) - _mean(before[-_NEIGHBOURS:])
    return min(max((at_work - at_rest) * (at_work + at_rest - 2 * slowness) / (2 * variance), -_MOST), _MOST)


def _quantile(bins: Mapping[int, int], level: float) -> int:
    wanted, below = level * sum(bins.values()), 0
    for index in sorted(bins):
        below += bins[index]
        if below >= wanted:
            return index
    raise ValueError("An empty histogram has no quantiles.")


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _sum_of(log: float, other: float) -> float:
    top = max(log, other)
    return top + math.log1p(math.exp(min(log, other) - top))
