"""Variables of metrics without a range, money and seconds: a value counts up to a cap, declared or learned (`caps`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from shadoweval.evidence.caps import AutoCap, Cut
from shadoweval.evidence.inputs import BoolArray, FloatArray
from shadoweval.evidence.variables import Measured, Scale, Scores, Variable, without_gain

__all__ = ["CappedDifference", "CappedRatio"]

_FINE_BINS: Final = 4_000
"""For money and seconds, which crowd near 0 (skewed ranges lose evidence on a coarse grid)."""


class _Capped(Variable):
    bins = _FINE_BINS

    def __init__(self, scale: Scale, cap: float | None) -> None:
        super().__init__(scale)
        self.limit = AutoCap(cap)
        self.cut = Cut()

    def _clipped(self, scores: Scores) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
        """Both arms' values up to the cap, the width of what counts, and where it is known."""
        caps, known = self.limit.advance(scores.incumbent, scores.candidate, scores.both)
        low = -caps if self.scale.low is None else np.full(caps.size, self.scale.low)
        high = caps if self.scale.high is None else np.full(caps.size, self.scale.high)
        if self.scale.high is None or self.scale.low is None:
            self.cut.count(scores.incumbent[known], scores.candidate[known], caps[known])
        return np.clip(scores.incumbent, low, high), np.clip(scores.candidate, low, high), high - low, known

    def to_state(self) -> dict[str, Any]:
        """The evidence, what the cap was learned from, and how often it was reached."""
        return super().to_state() | {"limit": self.limit.to_state(), "cut": self.cut.to_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        super().restore(state)
        self.limit.restore(state["limit"])
        self.cut.restore(state["cut"])


class CappedDifference(_Capped):
    """As `Difference`, for a metric without a range: a share of what the cap leaves."""

    def __init__(self, scale: Scale, cap: float | None, *, credit: bool = True) -> None:
        super().__init__(scale, cap)
        self.credit = credit

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score and the cap is known."""
        incumbent, candidate, width, known = self._clipped(scores)
        share = (candidate - incumbent) * (self.scale.sign / width)
        return (share if self.credit else without_gain(share, scores))[np.newaxis], known


class CappedRatio(_Capped):
    """(ratio * incumbent - candidate) / cap, whose mean is >= 0 exactly when the mean ratio is at most `ratio`."""

    def __init__(self, scale: Scale, cap: float | None, *, ratio: float) -> None:
        self.ratio = self.hi = ratio
        super().__init__(scale, cap if scale.high is None else scale.high)
        self._incumbents, self._judged = 0.0, 0

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score and the cap is known."""
        incumbent, candidate, width, known = self._clipped(scores)
        self._incumbents += float((incumbent / width)[known].sum())
        self._judged += int(known.sum())
        return ((self.ratio * incumbent - candidate) / width)[np.newaxis], known

    @property
    def usual(self) -> float:
        """What the incumbent takes on average, as a share of the cap in force."""
        return self._incumbents / self._judged if self._judged else 0.0

    def to_state(self) -> dict[str, Any]:
        """The evidence, the cap, and what is usual."""
        return super().to_state() | {"usual": [self._incumbents, self._judged]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        super().restore(state)
        self._incumbents, self._judged = state["usual"]
