"""By how much is one sample shifted against another? The interval of the Mann-Whitney location shift.

As R's `wilcox.test(..., exact = FALSE)` and its `zeroin` (Brent 1973), whose tolerance of 1e-4 is kept, so that answers
agree where they hang on it. Unpaired; of use to the Kayenta rule alone. Checked against Kayenta's own test cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from shadoweval.evidence.inputs import FloatArray, Floats

__all__ = ["Shift", "mid_ranks", "shift"]

_ROOT_TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """Interval and estimate of experiment - control."""

    lower: float
    upper: float
    estimate: float


def mid_ranks(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mid-ranks, and the sizes of the groups of ties."""
    _values, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group], sizes.astype(np.float64)


def statistic(experiment: FloatArray, control: FloatArray, *, moved: float, corrected: bool = True) -> float:
    """The standardised rank sum once the experiment is moved down by `moved`, with continuity correction."""
    m, n = experiment.size, control.size
    ranks, ties = mid_ranks(np.concatenate([experiment - moved, control]))
    centred = float(ranks[:m].sum()) - m * (m + 1) / 2 - m * n / 2
    spread = m * n / 12 * (m + n + 1 - float((ties**3 - ties).sum()) / ((m + n) * (m + n - 1)))
    half = 0.5 * np.sign(centred) if corrected else 0.0
    return float((centred - half) / math.sqrt(spread)) if spread > 0 else math.nan


def shift(control: Floats, experiment: Floats, *, confidence: float) -> Shift:
    """The interval of the location shift experiment - control, and its Hodges-Lehmann estimate."""
    x, y = np.asarray(experiment, dtype=np.float64), np.asarray(control, dtype=np.float64)
    least, most = float(x.min() - y.max()), float(x.max() - y.min())
    z = NormalDist().inv_cdf(1 - (1 - confidence) / 2)

    def root(target: float, *, corrected: bool) -> float:
        def gap(moved: float) -> float:
            return statistic(x, y, moved=moved, corrected=corrected) - target

        below, above = gap(least), gap(most)
        if below <= 0:
            return least
        return most if above >= 0 else _zero(gap, (least, below), (most, above))

    return Shift(lower=root(z, corrected=True), upper=root(-z, corrected=True), estimate=root(0.0, corrected=False))


def _zero(function: Callable[[float], float], low: tuple[float, float], high: tuple[float, float]) -> float:
    """Brent's root as in R's `zeroin`: on a step function the answer hangs on its very steps, so they are kept."""
    (a, fa), (b, fb) = low, high
    c, fc = a, fa
    for _ in range(1_001):
        before = b - a
        if abs(fc) < abs(fb):
            a, b, c = b, c, b
            fa, fb, fc = fb, fc, fb
        enough = 2 * float(np.finfo(float).eps) * abs(b) + _ROOT_TOLERANCE / 2
        step = (c - b) / 2
        if abs(step) <= enough or fb == 0:
            return b
        if abs(before) >= enough and abs(fa) > abs(fb):
            step = _interpolated((a, fa), (b, fb), (c, fc), before=before, enough=enough, step=step)
        if abs(step) < enough:
            step = enough if step > 0 else -enough
        a, fa = b, fb
        b += step
        fb = function(b)
        if (fb > 0) == (fc > 0) and fb != 0 and fc != 0:
            c, fc = a, fa
    return b


def _interpolated(
    first: tuple[float, float],
    second: tuple[float, float],
    third: tuple[float, float],
    *,
    before: float,
    enough: float,
    step: float,
) -> float:
    (a, fa), (b, fb), (c, fc) = first, second, third
    width = c - b
    if a == c:
        t1 = fb / fa
        p, q = width * t1, 1 - t1
    else:
        q, t1, t2 = fa / fc, fb / fc, fb / fa
        p = t2 * (width * q * (q - t1) - (b - a) * (t1 - 1))
        q = (q - 1) * (t1 - 1) * (t2 - 1)
    if p > 0:
        q = -q
    else:
        p = -p
    fits = p < 0.75 * width * q - abs(enough * q) / 2 and p < abs(before * q / 2)
    return p / q if fits else step
