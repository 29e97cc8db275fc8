"""Did something change? Alarms with a stated rate of false ones, for inputs and scores, and for the difference itself.

Both are Shiryaev-Roberts e-detectors (Shin, Ramdas, Rinaldo, arXiv 2203.03532): M = (M + 1) * growth, alarm when M
reaches c. Without a change, the mean time to an alarm is at least c, and an alarm within T observations has a chance of
at most T / c.
"""

import math
from typing import Self

import numpy as np

from shadoweval.evidence.bets import FRACTIONS, LOG_WEIGHTS
from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, at_least, finite, share, within
from shadoweval.evidence.packing import Resumable, State, field, numbers, pack, unpack

__all__ = ["DecayDetector", "DriftDetector"]

_DRIFT_FRACTIONS = np.geomspace(0.02, 0.9, 8)
_CEILING = 1e300
_MOST_BINS = 256
_FEWEST_REFERENCE = 40


class _Detector(Resumable):
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

    def _fields(self) -> State:
        return {
            "n": self.n,
            "alarm_level": self.alarm_level,
            "alarm_at": self.alarm_at,
            "bets": self._bets.tolist(),
        }

    def _restore(self, state: State) -> None:
        self.n = field(state, "n", int)
        self._bets = numbers(state, "bets", self._bets.size)
        self.alarm_level = field(state, "alarm_level", float)
        self.alarm_at = None if state.get("alarm_at") is None else field(state, "alarm_at", int)


class DriftDetector(_Detector):
    """Alarm when a scalar (distance to a centroid, score, length) stops looking like what came before.

    Each value gets its rank among all earlier ones as an online conformal p-value (Vovk, "Testing randomness online",
    Statistical Science 2021; change detection in arXiv 2412.03464), which is uniform while nothing changes. Bets: p
    small, p large, p near the middle, p near the ends. A fixed reference instead of a growing one would alarm in most
    quiet streams.

    Args:
        edges: Ascending bin edges, not taken from values that are counted later; ranks within a bin are drawn.
        horizon: Observations until the next review.
        alpha: Chance of a false alarm within the horizon.

    Raises:
        StatsInputError: The edges do not ascend, or a setting is out of range.
    """

    __slots__ = ("_counts", "_edges")

    def __init__(self, edges: Floats, *, horizon: int = 20_000, alpha: float = 0.05) -> None:
        level = at_least(horizon, 1, name="horizon") / share(alpha, "alpha")
        bettors = 4 * _DRIFT_FRACTIONS.size
        super().__init__(np.full(bettors, 1 / bettors), alarm_level=level)
        self._edges = finite(edges, "edges").ravel()
        if not self._edges.size or (np.diff(self._edges) <= 0).any():
            raise StatsInputError("edges must be at least one number, each larger than the one before.")
        self._counts = np.zeros(self._edges.size + 1)

    @classmethod
    def from_reference(cls, reference: Floats, *, horizon: int = 20_000, alpha: float = 0.05) -> Self:
        """A detector that knows earlier values: the first half gives the edges, the second the first ranks.

        Raises:
            StatsInputError: Fewer than 40 values, or one is not finite.
        """
        values = finite(reference, "reference").ravel()
        if values.size < _FEWEST_REFERENCE:
            raise StatsInputError(f"A reference needs {_FEWEST_REFERENCE} values, got {values.size}.")
        first, second = values[: values.size // 2], values[values.size // 2 :]
        levels = np.linspace(0, 1, min(_MOST_BINS, first.size) + 1)[1:-1]
        made = cls(np.unique(np.quantile(first, levels)), horizon=horizon, alpha=alpha)
        made.learn(second)
        return made

    def learn(self, values: Floats) -> None:
        """Count values to rank against, without judging them.

        Raises:
            StatsInputError: One is not finite.
        """
        places = np.searchsorted(self._edges, finite(values, "values").ravel())
        self._counts += np.bincount(places, minlength=self._counts.size)

    def add(self, value: float, u: float) -> float:
        """Judge one value; returns its conformal p-value.

        Args:
            value: The scalar.
            u: Uniform in [0, 1] and independent of the values, such as a hash of the query's id; breaks ties.

        Raises:
            StatsInputError: The value is not finite or u is out of range.
        """
        if not math.isfinite(value) or not 0 <= u <= 1:
            raise StatsInputError(f"Need a finite value and u in [0, 1], got {value!r} and {u!r}.")
        place = int(self._edges.searchsorted(value))
        below, same = float(self._counts[:place].sum()), float(self._counts[place])
        p = (below + u * (same + 1)) / (float(self._counts.sum()) + 1)
        self._counts[place] += 1
        shift, ends = 2 * p - 1, 2 * abs(2 * p - 1) - 1
        self._grow(1 + np.outer([shift, -shift, ends, -ends], _DRIFT_FRACTIONS).ravel())
        return p

    def extend(self, values: Floats, us: Floats) -> Self:
        """Judge values in order, each with its own u."""
        for value, u in zip(values, us, strict=True):
            self.add(float(value), float(u))
        return self

    def _fields(self) -> State:
        return super()._fields() | {
            "edges": pack(self._edges),
            "size": int(self._edges.size),
            "counts": pack(self._counts),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        size = field(state, "size", int)
        made = cls(unpack(field(state, "edges", str), size))
        made._restore(state)
        made._counts = unpack(field(state, "counts", str), size + 1)
        return made


class DecayDetector(_Detector):
    """Alarm when the candidate, good so far, turns worse than `margin` below the incumbent.

    HistBet speaks of the average over all of the traffic, in which a late fault drowns; this one speaks of lately.
    Null: each difference in [-1, 1] has a mean of at least -margin given the past.

    Args:
        margin: Loss that is tolerated, >= 0.
        horizon: Observations until the next review.
        alpha: Chance of a false alarm within the horizon.

    Raises:
        StatsInputError: A setting is out of range.
    """

    __slots__ = ("margin",)

    def __init__(self, *, margin: float, horizon: int = 20_000, alpha: float = 0.05) -> None:
        level = at_least(horizon, 1, name="horizon") / share(alpha, "alpha")
        super().__init__(np.exp(LOG_WEIGHTS), alarm_level=level)
        if not 0 <= margin < 1:
            raise StatsInputError(f"margin must lie in [0, 1), got {margin!r}.")
        self.margin = float(margin)

    def add(self, difference: float) -> None:
        """Judge one difference candidate - incumbent in [-1, 1].

        Raises:
            StatsInputError: It is NaN or out of range.
        """
        if not -1 <= difference <= 1:
            within([difference], -1, 1, name="difference")
        self._grow(1 - FRACTIONS * ((difference + self.margin) / (1 + self.margin)))

    def extend(self, differences: Floats) -> Self:
        """Judge differences in query order."""
        for difference in within(differences, -1, 1, name="differences").ravel().tolist():
            self.add(difference)
        return self

    def _fields(self) -> State:
        return super()._fields() | {"margin": self.margin}

    @classmethod
    def _resumed(cls, state: State) -> Self:
        made = cls(margin=field(state, "margin", float))
        made._restore(state)
        return made
