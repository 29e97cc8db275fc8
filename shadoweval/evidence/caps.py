"""The most that one amount can count where its metric has no range: declared, or learned from earlier pairs."""

from __future__ import annotations

from typing import Final

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray

__all__ = ["AutoCap", "Cut"]


class AutoCap:
    """The most that a value can count: a declared cap, or one that is learned from both arms' earlier values.

    A learned cap is ten times the largest of the first 25 pairs that cost anything (they set it, and are not judged),
    and later at least five times the largest before the pair. So it is known before each pair, as a fair bet asks for:
    (ratio * incumbent - candidate) / cap has a mean of the same sign given the past, whatever the cap.
    """

    WARMUP: Final = 25
    FACTOR: Final = 10.0
    GROWTH: Final = 5.0

    def __init__(self, declared: float | None) -> None:
        self.declared = declared
        self.seen = 0
        self.largest = 0.0
        """The largest amount of either arm so far, counted only where the cap is learned."""
        self.first = 0.0
        """The cap with which judging began; 0: not yet."""

    def advance(self, incumbent: FloatArray, candidate: FloatArray, both: BoolArray) -> tuple[FloatArray, BoolArray]:
        """The cap in force before each pair, and where it was known and both arms have a score."""
        known = both.copy()
        if self.declared is not None:
            return np.full(known.size, self.declared), known
        places = np.flatnonzero(known)
        amounts = np.maximum(np.abs(incumbent[places]), np.abs(candidate[places]))
        before = np.maximum.accumulate(np.concatenate([[self.largest], amounts]))
        warm = self.seen + np.cumsum(amounts > 0) - (amounts > 0) >= self.WARMUP
        self.seen = min(self.seen + int((amounts > 0).sum()), self.WARMUP)
        if not self.first and self.seen == self.WARMUP:
            warm_from = int(np.argmax(warm)) if warm.any() else places.size
            self.first = self.FACTOR * float(before[warm_from])
        self.largest = float(before[-1])
        caps = np.ones(known.size)
        caps[places] = np.where(warm, np.maximum(self.first, self.GROWTH * before[:-1]), 1.0)
        known[places[~warm]] = False
        return caps, known

    def to_state(self) -> list[float]:
        """What it learned."""
        return [self.seen, self.largest, self.first]

    def restore(self, state: list[float]) -> None:
        """Take up what `to_state` gave."""
        self.seen, self.largest, self.first = int(state[0]), state[1], state[2]


class Cut:
    """How many values of each arm were beyond the cap in force, and the largest of them."""

    def __init__(self) -> None:
        self.incumbent = self.candidate = 0
        self.largest = 0.0

    def count(self, incumbent: FloatArray, candidate: FloatArray, cap: FloatArray | float) -> None:
        """Count values that may lie beyond the cap."""
        for arm, values in (("incumbent", incumbent), ("candidate", candidate)):
            beyond = np.abs(values) > cap
            if beyond.any():
                setattr(self, arm, getattr(self, arm) + int(beyond.sum()))
                self.largest = max(self.largest, float(np.abs(values)[beyond].max()))

    def to_state(self) -> list[float]:
        """All of it."""
        return [self.incumbent, self.candidate, self.largest]

    def restore(self, state: list[float]) -> None:
        """Take up what `to_state` gave."""
        self.incumbent, self.candidate, self.largest = int(state[0]), int(state[1]), state[2]
