"""Is the candidate beyond the incumbent's quantiles more often than the incumbent itself, and how many times as slow?

With tau the incumbent's q-quantile as known before the pair, both arms are asked whether they lie beyond it, the
candidate with an allowance: X = 1{candidate beyond ratio * tau + shift} - 1{incumbent beyond tau}. A candidate that
exceeds no more often has mean X at most 0, so that pairs that differ are coin flips at worst.

Many values may be equal to tau (whole seconds, time-outs at a cap), so that nobody or far too many lie beyond it. A
value that ties with it therefore counts as beyond in part, by the part that makes 1 - q of the incumbents so far. Both
arms are asked alike, so that the mean of X is at most 0 for equals whatever the part. A failed run is slower than any
that answered. And the counts of all pairs must agree (`surely`) at both ends of where the incumbent's quantile may be:
where values lie in heaps, thresholds fall now on one and now on another.

Evidence on five quantiles at once tests whether the candidate is slower anywhere (stochastic order). It finds a broad
slow-down many times sooner than any one quantile does, or than the unpaired methods of Howard and Ramdas (arXiv
1906.09712) and Lindon, Sanden and Shirikian (arXiv 2205.14762). Checked against counting over the raw pairs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from shadoweval.evidence.bets import discordant_log_e
from shadoweval.evidence.inputs import FloatArray, IntArray, share
from shadoweval.evidence.quantile_sketch import PARTS, PredictableQuantiles, QuantileSketch, Threshold
from shadoweval.evidence.states import pack, unpack
from shadoweval.evidence.variables import Measured, Scale, Scores, Variable

__all__ = ["ORDER_LEVELS", "Beyond", "Exceedances"]

ORDER_LEVELS: Final = (0.5, 0.75, 0.9, 0.95, 0.99)
"""The quantiles over which the stochastic-order alarm averages."""

_SURE: Final = 2.326
_BINS: Final = 1024
_EDGES: Final[FloatArray] = np.geomspace(1 / 16, 16, _BINS + 1)
_PADDED: Final[FloatArray] = np.concatenate([[-np.inf], _EDGES, [np.inf]])


class Exceedances(Variable):
    """X with the allowance at one quantile, then X without allowance at quantiles `watched`.

    "Beyond" is above where lower is better, else below. Beside the evidence it keeps counts for the ratio of the arms'
    quantiles: rho is where P(candidate > rho * tau) = P(incumbent > tau). Every bin edge of candidate / tau is tested
    as a ratio; the confidence set is what no test rejects, resolved to 0.5 % between 1/16 and 16.

    Args:
        scale: The metric's range and direction; both arms' amounts are >= 0.
        level: The quantile q with the allowance.
        ratio: The candidate's bound, as a multiple of tau.
        shift: What is added to that.
        watched: Quantiles at which any slow-down counts.
        failure: The score of failed runs; None: they have none.
    """

    def __init__(
        self,
        scale: Scale,
        level: float,
        *,
        watched: Sequence[float],
        ratio: float = 1.0,
        shift: float = 0.0,
        failure: float | None = None,
    ) -> None:
        super().__init__(scale, rows=1 + len(watched))
        self.level, self.ratio, self.shift = level, ratio, shift
        self._failure = None if scale.higher_is_better else failure
        levels = tuple(dict.fromkeys((level, *watched)))
        self._thresholds = PredictableQuantiles(levels, below=scale.higher_is_better)
        self._watched = tuple(levels.index(each) for each in watched)
        # The candidate's amounts, the allowance taken off; and as they are, where a shift makes these something else.
        self._allowed = QuantileSketch()
        self._plain = QuantileSketch() if shift else self._allowed
        # Counts of candidate / tau per bin, in parts of parts, by whether the incumbent exceeded tau.
        self._slow: FloatArray = np.zeros(_BINS + 2)
        self._fast: FloatArray = np.zeros(_BINS + 2)

    def measure(self, scores: Scores) -> Measured:
        """Where both arms have a score and the quantiles are known."""
        known = scores.both.copy()
        judged = np.flatnonzero(known)
        values = np.zeros((len(self.means), known.size))
        incumbent, candidate = self._seconds(scores.incumbent[judged]), self._seconds(scores.candidate[judged])
        self._allowed.extend(np.maximum(candidate - self.shift, 0.0) / self.ratio)
        if self._plain is not self._allowed:
            self._plain.extend(candidate)
        for part, thresholds in self._thresholds.advance(incumbent):
            if thresholds is None:
                known[judged[part]] = False
                continue
            values[:, judged[part]] = self._beyond(incumbent[part], candidate[part], thresholds)
            self._count_ratio(incumbent[part], candidate[part], thresholds[0])
        return values, known

    def _seconds(self, values: FloatArray) -> FloatArray:
        """The amounts, those of failed runs larger than any."""
        if self._failure is None:
            return values
        amounts = values.copy()
        amounts[values == self._failure] = np.inf
        return amounts

    def _beyond(self, incumbent: FloatArray, candidate: FloatArray, thresholds: Sequence[Threshold]) -> FloatArray:
        below, tau = self.scale.higher_is_better, thresholds[0]
        rows = [
            tau.beyond(candidate, ratio=self.ratio, shift=self.shift, below=below) - tau.beyond(incumbent, below=below)
        ]
        watched = (thresholds[index] for index in self._watched)
        rows += [each.beyond(candidate, below=below) - each.beyond(incumbent, below=below) for each in watched]
        return np.array(rows)

    def _count_ratio(self, incumbent: FloatArray, candidate: FloatArray, tau: Threshold) -> None:
        if math.isinf(tau.high):
            return
        was_slow = np.rint(tau.beyond(incumbent) * PARTS)
        # A tie counts in part: the candidate lies beyond a multiple of both ends of the bin, or only of the lower one.
        in_part = round(tau.part * PARTS)
        for end, weight in ((tau.high, PARTS - in_part), (tau.low, in_part)):
            if weight:
                cell = _cells(candidate / end)
                self._slow += weight * np.bincount(cell, was_slow, minlength=_BINS + 2)
                self._fast += weight * np.bincount(cell, PARTS - was_slow, minlength=_BINS + 2)

    @property
    def among_failures(self) -> bool:
        """Whether the incumbent's quantile lies among its failed runs, so that no allowance can be told."""
        current = self._thresholds.current
        return current is not None and math.isinf(current[0].high)

    def bounds(self) -> tuple[float, float]:
        """Where the incumbent's quantile over all pairs surely lies; 0 or inf where nothing is known yet."""
        sketch, q = self._thresholds.sketch, self.level
        reach = _SURE * math.sqrt(q * (1 - q) / max(sketch.n, 1))
        lower = float(sketch.quantiles([q - reach])[0]) if sketch.n and q > reach else 0.0
        upper = float(sketch.quantiles([q + reach])[0]) if sketch.n and q + reach < 1 else math.inf
        return lower, upper

    def surely(self, *, worse: bool, allowed: bool = True) -> bool:
        """Whether the candidate is beyond more often (or is not) wherever the incumbent's quantile may lie.

        Args:
            worse: Which of the two.
            allowed: With the allowance.
        """
        served, below = self._thresholds.sketch, self.scale.higher_is_better
        lower, upper = self.bounds()
        if not lower or (math.isinf(upper) and not served.fails):
            return False
        own = self._allowed if allowed else self._plain
        middle = float(served.quantiles([self.level])[0])
        more = (own.beyond(tau, below=below) > served.beyond(tau, below=below) for tau in (lower, middle, upper))
        return all(more) if worse else not any(more)

    def ratio_interval(self, alpha: float) -> tuple[float, float]:
        """Two-sided confidence sequence of the ratio of the q-quantiles; 0 or inf where nothing is excluded yet."""
        needed = math.log(2 / share(alpha, "alpha"))
        more = (self._fast.sum() - np.cumsum(self._fast)[:-1]) / PARTS**2
        fewer = np.cumsum(self._slow)[:-1] / PARTS**2
        above = np.flatnonzero(discordant_log_e(more, fewer) >= needed)
        below = np.flatnonzero(discordant_log_e(fewer, more) >= needed)
        return (float(_EDGES[above[-1]]) if above.size else 0.0, float(_EDGES[below[0]]) if below.size else math.inf)

    def to_state(self) -> dict[str, Any]:
        """Evidence, thresholds and counts."""
        return super().to_state() | {
            "slow": pack(self._slow),
            "fast": pack(self._fast),
            "thresholds": self._thresholds.to_state(),
            "allowed": self._allowed.to_state(),
            "plain": None if self._plain is self._allowed else self._plain.to_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        super().restore(state)
        self._thresholds = PredictableQuantiles.from_state(state["thresholds"])
        self._allowed = self._plain = QuantileSketch.from_state(state["allowed"])
        if state["plain"] is not None:
            self._plain = QuantileSketch.from_state(state["plain"])
        self._slow, self._fast = unpack(state["slow"], _BINS + 2), unpack(state["fast"], _BINS + 2)


class Beyond(Variable):
    """1 where the candidate's value lies beyond a limit (above it, or below it), else 0; a failed run always does."""

    lo = 0.0

    def __init__(self, scale: Scale, limit: float, *, above: bool, failure: float | None = None) -> None:
        super().__init__(scale)
        self.limit, self.above, self.failure = limit, above, failure

    def measure(self, scores: Scores) -> Measured:
        """Where the candidate has a score."""
        beyond = scores.candidate > self.limit if self.above else scores.candidate < self.limit
        if self.failure is not None:
            beyond |= scores.candidate == self.failure
        return beyond.astype(np.float64)[np.newaxis], scores.candidate_scored


def _cells(ratios: FloatArray) -> IntArray:
    """How many edges lie below each ratio >= 0: `searchsorted`, several times faster since edges are a progression."""
    with np.errstate(divide="ignore"):
        place = np.log(ratios) * (_BINS / math.log(256)) + _BINS / 2
    cell = np.ceil(np.clip(place, 0, _BINS + 1)).astype(np.int64)
    return cell - (_PADDED[cell] >= ratios) + (_PADDED[cell + 1] < ratios)
