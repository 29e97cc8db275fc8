"""Has the candidate turned worse lately? In the average over weeks a fault of this morning drowns.

A Shiryaev-Roberts e-detector (Shin, Ramdas, Rinaldo, arXiv 2203.03532) sums the evidence of every moment at which a
decay could have begun: M = (M + 1) * growth, alarm when M reaches c. Without a change, the mean time to an alarm is
at least c, and an alarm within T observations has a chance of at most T / c.
"""

import math
from functools import partial
from typing import Final, Self

import numpy as np

from shadoweval.evidence.bets import FRACTIONS, LOG_WEIGHTS
from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, at_least, share, within
from shadoweval.evidence.states import pack_column, unpack_column

__all__ = ["DecayDetector", "Detector", "Newest"]

_CEILING: Final = 1e300
_LOG_CEILING: Final = math.log(_CEILING)
_NEWEST: Final = 5_000


class Detector:
    """Shiryaev-Roberts statistic of weighted bettors, and when it first reached its alarm level."""

    __slots__ = ("_bets", "_weights", "alarm_at", "alarm_level", "n")

    def __init__(self, weights: FloatArray, *, alarm_level: float) -> None:
        self.alarm_level = at_least(alarm_level, 1, name="alarm_level")
        self._weights = weights
        self._bets = np.zeros_like(weights)
        self.n = 0
        self.alarm_at: int | None = None

    @property
    def statistic(self) -> float:
        """Evidence of a change; the alarm level is what it must reach."""
        return float(self._weights @ self._bets)

    @property
    def alarmed(self) -> bool:
        """Whether it ever reached the level; `alarm_at` says at which observation. Start anew after an alarm."""
        return self.alarm_at is not None

    def _grow(self, growth: FloatArray) -> None:
        self._bets = np.minimum((self._bets + 1) * growth, _CEILING)
        self.n += 1
        if self.alarm_at is None and self.statistic >= self.alarm_level:
            self.alarm_at = self.n


class DecayDetector(Detector):
    """Alarm when the candidate, good so far, turns worse than `margin` below the incumbent.

    HistBet speaks of the average over all of the traffic, in which a late fault drowns; this one speaks of lately.
    Null: each difference in [-1, 1] has a mean of at least -margin given the past.

    Args:
        margin: Loss that is tolerated, >= 0.
        horizon: Observations until the next review.
        alpha: Chance of a false alarm within the horizon.
    """

    __slots__ = ("margin",)

    def __init__(self, *, margin: float, horizon: int = 20_000, alpha: float = 0.05) -> None:
        level = at_least(horizon, 1, name="horizon") / share(alpha, "alpha")
        super().__init__(np.exp(LOG_WEIGHTS), alarm_level=level)
        if not 0 <= margin < 1:
            raise StatsInputError(f"margin must lie in [0, 1), got {margin!r}.")
        self.margin = float(margin)

    def extend(self, differences: Floats) -> Self:
        """Judge differences candidate - incumbent in [-1, 1], in query order."""
        return self.judge(within(differences, -1, 1, name="differences").ravel())

    def judge(self, scores: FloatArray) -> Self:
        """Judge scores of at most 1; how far below -1 one may lie is no matter to the bound."""
        if not scores.size:
            return self
        # With L the running sum of log growths, log M(t) = L(t) + log(M(0) + sum over s <= t of exp(-L(s - 1))).
        grown = np.cumsum(np.log1p(-FRACTIONS * ((scores[:, np.newaxis] + self.margin) / (1 + self.margin))), axis=0)
        with np.errstate(divide="ignore"):
            start = np.log(self._bets)
        sums = np.logaddexp.accumulate(np.vstack([start, np.zeros_like(start), -grown[:-1]]), axis=0)[1:]
        log_bets = grown + sums
        if self.alarm_at is None:
            reached = np.flatnonzero(np.logaddexp.reduce(log_bets + LOG_WEIGHTS, axis=1) >= math.log(self.alarm_level))
            self.alarm_at = self.n + int(reached[0]) + 1 if reached.size else None
        self._bets = np.exp(np.minimum(log_bets[-1], _LOG_CEILING))
        self.n += scores.size
        return self


class Newest:
    """The newest 5000 values of a variable X in [lo, hi], judged by a `DecayDetector` whenever someone looks.

    Null: each X has, given the past, a mean on the good side of a margin. What is judged is the distance to it, as a
    share of how far X can lie on that side: at most 1, as a fair bet asks for. Looking at the newest units only leaves
    out early beginnings of a decay, which can only weaken the alarm, so its bound on false ones stays.

    Args:
        margin: Where the good side ends.
        best: The value of X that lies farthest on the good side.
        alpha: Chance of a false alarm within 20,000 units.
        tight: Whether what is judged is a share of twice the best of the newest values, where that is less. An amount
            is a small share of its cap, and a bet that fears the cap stakes next to nothing. No longer exact: it takes
            for granted that the next value is not twice as good as all the newest.
    """

    def __init__(self, margin: float, best: float, *, alpha: float, tight: bool = False) -> None:
        if margin == best:
            raise StatsInputError(f"Nothing lies on the good side of {margin!r}: it is the best that X can be.")
        self._newest: FloatArray = np.zeros(0)
        self.n = 0
        self._margin, self._reach, self._tight = margin, best - margin, tight
        self._detect = partial(DecayDetector, margin=0.0, alpha=alpha)
        self._detector = self._detect()

    def extend(self, values: FloatArray) -> None:
        """Count units in query order."""
        self._newest = np.concatenate([self._newest, values[-_NEWEST:]])[-_NEWEST:]
        self.n += values.size

    @property
    def decayed(self) -> bool:
        """Whether it turned to the bad side."""
        if self.n > _NEWEST or self._tight:  # the beginning moves on, so the sum begins anew
            return self._judged(self._detect(), self._newest)
        return self._judged(self._detector, self._newest[self._detector.n :])

    def _judged(self, detector: DecayDetector, values: FloatArray) -> bool:
        gaps = (values - self._margin) / self._reach
        most = 2 * float(gaps.max(initial=0.0)) if self._tight else 1.0
        return detector.judge(gaps / most if 0 < most < 1 else gaps).alarmed

    def to_state(self) -> str:
        """The newest values."""
        return pack_column(self._newest)

    def restore(self, state: str) -> None:
        """Take up what `to_state` gave."""
        self._newest = unpack_column(state, np.float64)
        self.n = self._newest.size
        self._detector = self._detect()
