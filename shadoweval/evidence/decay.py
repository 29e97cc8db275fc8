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
        scores = within(differences, -1, 1, name="differences").ravel()
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
    """The newest 5000 differences of one metric, judged by a `DecayDetector` whenever someone looks.

    Looking at the newest units only leaves out early beginnings of a decay, which can only weaken the alarm, so its
    bound on false ones stays.

    Args:
        margin: Loss that is tolerated, as a share of the metric's range.
        alpha: Chance of a false alarm within 20,000 units.
    """

    def __init__(self, margin: float, *, alpha: float) -> None:
        self._newest: FloatArray = np.zeros(0)
        self.n = 0
        self._detect = partial(DecayDetector, margin=margin, alpha=alpha)
        self._detector = self._detect()

    def extend(self, differences: FloatArray) -> None:
        """Count units: differences in [-1, 1], larger is better."""
        self._newest = np.concatenate([self._newest, differences[-_NEWEST:]])[-_NEWEST:]
        self.n += differences.size

    @property
    def decayed(self) -> bool:
        """Whether it turned worse than the margin."""
        if self.n > _NEWEST:  # the beginning moves on, so the sum begins anew
            return self._detect().extend(self._newest).alarmed
        return self._detector.extend(self._newest[self._detector.n :]).alarmed

    def to_state(self) -> list[float]:
        """The newest differences."""
        return self._newest.tolist()

    def restore(self, state: list[float]) -> None:
        """Take up what `to_state` gave."""
        self._newest, self.n = np.array(state, dtype=np.float64), len(state)
        self._detector = self._detect()
