"""Did the inputs or the scores change? Alarms with a stated rate of false ones.

For streams that are exchangeable while nothing changes, such as the scores of a suite that runs again and again.
Traffic is not, by day and night, so the data checks of a verdict go by `habits`.
"""

import math
from typing import Final, Self

import numpy as np

from shadoweval.evidence.decay import Detector
from shadoweval.evidence.inputs import Floats, StatsInputError, at_least, finite, share
from shadoweval.evidence.states import Resumable, State, field, numbers, pack, unpack

__all__ = ["DriftDetector"]

_DRIFT_FRACTIONS: Final = np.geomspace(0.02, 0.9, 8)
_MOST_BINS: Final = 256
_FEWEST_REFERENCE: Final = 40


class DriftDetector(Detector, Resumable):
    """Alarm when a scalar (distance to a centroid, score, length) stops looking like what came before.

    Each value gets its rank among all earlier ones as an online conformal p-value (Vovk, "Testing randomness online",
    Statistical Science 2021; change detection in arXiv 2412.03464), which is uniform while nothing changes. Bets: p
    small, p large, p near the middle, p near the ends. A fixed reference instead of a growing one would alarm in most
    quiet streams.

    Args:
        edges: Ascending bin edges, not taken from values that are counted later; ranks within a bin are drawn.
        horizon: Observations until the next review.
        alpha: Chance of a false alarm within the horizon.
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
        """A detector that knows earlier values: the first half gives the edges, the second the first ranks."""
        values = finite(reference, "reference").ravel()
        if values.size < _FEWEST_REFERENCE:
            raise StatsInputError(f"A reference needs {_FEWEST_REFERENCE} values, got {values.size}.")
        first, second = values[: values.size // 2], values[values.size // 2 :]
        levels = np.linspace(0, 1, min(_MOST_BINS, first.size) + 1)[1:-1]
        made = cls(np.unique(np.quantile(first, levels)), horizon=horizon, alpha=alpha)
        made.learn(second)
        return made

    def learn(self, values: Floats) -> None:
        """Count values to rank against, without judging them."""
        places = np.searchsorted(self._edges, finite(values, "values").ravel())
        self._counts += np.bincount(places, minlength=self._counts.size)

    def add(self, value: float, u: float) -> float:
        """Judge one value; returns its conformal p-value.

        Args:
            value: The scalar.
            u: Uniform in [0, 1] and independent of the values, such as a hash of the query's id; breaks ties.
        """
        if not math.isfinite(value) or not 0 <= u <= 1:
            raise StatsInputError(f"Need a finite value and u in [0, 1], got {value!r} and {u!r}.")
        bin_ = int(self._edges.searchsorted(value))
        below, same = float(self._counts[:bin_].sum()), float(self._counts[bin_])
        p = (below + u * (same + 1)) / (float(self._counts.sum()) + 1)
        self._counts[bin_] += 1
        shift, ends = 2 * p - 1, 2 * abs(2 * p - 1) - 1
        self._grow(1 + np.outer([shift, -shift, ends, -ends], _DRIFT_FRACTIONS).ravel())
        return p

    def extend(self, values: Floats, us: Floats) -> Self:
        """Judge values in order, each with its own u."""
        for value, u in zip(values, us, strict=True):
            self.add(float(value), float(u))
        return self

    def _fields(self) -> State:
        return {
            "n": self.n,
            "alarm_level": self.alarm_level,
            "alarm_at": self.alarm_at,
            "bets": self._bets.tolist(),
            "edges": pack(self._edges),
            "size": int(self._edges.size),
            "counts": pack(self._counts),
        }

    @classmethod
    def _resumed(cls, state: State) -> Self:
        size = field(state, "size", int)
        made = cls(unpack(field(state, "edges", str), size))
        made.n, made.alarm_level = field(state, "n", int), field(state, "alarm_level", float)
        made.alarm_at = None if state.get("alarm_at") is None else field(state, "alarm_at", int)
        made._bets = numbers(state, "bets", made._bets.size)
        made._counts = unpack(field(state, "counts", str), size + 1)
        return made
