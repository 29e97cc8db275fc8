"""A judge that classifies as Kayenta's `NetflixACAJudge-v1.0` does, for teams that compare with what they have.

Two samples of one metric are compared by the interval of the Mann-Whitney location shift; there is no pairing, no
margin of ours, and no correction for looking twice or for many metrics. `warnings` says where that is unsound.
Source: spinnaker/kayenta, `NetflixACAJudge.scala`, `MannWhitneyClassifier.scala`, `WeightedSumScorer.scala`; R's
`wilcox.test` and `zeroin` (Brent 1973), whose tolerance of 1e-4 the original shares. Checked against Kayenta's own
test cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["Classification", "KayentaMetric", "Label", "Shift", "Thresholds", "classify", "score", "shift", "warnings"]

Label = Literal["Pass", "High", "Low", "Nodata", "NodataFailMetric", "Error"]
Direction = Literal["increase", "decrease", "either"]

_FloatArray = NDArray[np.float64]

_ROOT_TOLERANCE: Final = 1e-4
_FEWEST_POINTS: Final = 50
_AUTOCORRELATION: Final = 0.2
_FEW_VALUES: Final = 20


class Thresholds(msgspec.Struct, frozen=True):
    """Effect sizes below and above which a change counts."""

    decrease: float = 1.0
    increase: float = 1.0


class KayentaMetric(msgspec.Struct, frozen=True, kw_only=True):
    """How one metric is classified; the defaults are the judge's own."""

    direction: Direction = "either"
    tolerance: float = 0.25
    confidence: float = 0.98
    effect: Literal["meanRatio", "cles"] = "meanRatio"
    effect_size: Thresholds | None = None
    """None: 1 for the mean ratio, 0.5 for CLES."""
    critical_size: Thresholds = Thresholds()
    critical: bool = False
    must_have_data: bool = False
    missing: Literal["remove", "replace"] = "remove"
    """Whether points that are not a number are left out or count as 0."""
    drop_outliers: bool = False
    outlier_factor: float = 3.0


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says of one metric."""

    label: Label
    critical: bool = False
    """Whether it fails the whole canary."""
    reason: str = ""
    ratio: float | None = None
    """Effect size that was compared; None where it is undefined."""


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Interval and estimate of experiment - control, as R's `wilcox.test(..., exact = FALSE)` gives them."""

    lower: float
    upper: float
    estimate: float


def classify(
    control: Sequence[float], experiment: Sequence[float], metric: KayentaMetric | None = None
) -> Classification:
    """Classify one metric of a canary.

    Args:
        control: The incumbent's values, in time order.
        experiment: The candidate's.
        metric: How; the judge's defaults without it.
    """
    metric = metric or KayentaMetric()
    base, canary = _prepared(control, metric), _prepared(experiment, metric)
    if not base.size or not canary.size:
        if metric.missing == "replace":
            return Classification(label="Pass")
        if metric.must_have_data and not metric.critical:
            return Classification(label="NodataFailMetric", reason="Missing data")
        return Classification(label="Nodata", critical=metric.critical, reason="Missing data")
    if np.array_equal(np.sort(base), np.sort(canary)) or np.unique(np.concatenate([base, canary])).size == 1:
        return Classification(label="Pass", reason="The samples are identical", ratio=_effect(base, canary, metric))
    if np.ptp(base) == 0 and np.ptp(canary) == 0:
        base, canary = _noisy(base), _noisy(canary)
    return _compared(base, canary, metric)


def _prepared(values: Sequence[float], metric: KayentaMetric) -> _FloatArray:
    array = np.asarray(values, dtype=np.float64)
    array = np.nan_to_num(array, nan=0.0) if metric.missing == "replace" else array[~np.isnan(array)]
    if metric.drop_outliers and array.size:
        first, third = np.percentile(array, [25, 75])
        low = min(float(np.percentile(array, 1)), first - metric.outlier_factor * (third - first))
        high = max(float(np.percentile(array, 99)), third + metric.outlier_factor * (third - first))
        array = array[(array >= low) & (array <= high)]
    return array


def _noisy(values: _FloatArray) -> _FloatArray:
    """Constant samples get a little noise, so that their ranks differ; seeded, unlike the original's."""
    return values + np.random.default_rng(0).normal(0.0, 1e-5 * abs(float(values[0])) or 1e-5, values.size)


def _compared(base: _FloatArray, canary: _FloatArray, metric: KayentaMetric) -> Classification:
    found = shift(base, canary, confidence=metric.confidence)
    bound = abs(metric.tolerance * found.estimate)
    effect = _effect(base, canary, metric)
    allowed = metric.effect_size or (Thresholds() if metric.effect == "meanRatio" else Thresholds(0.5, 0.5))
    if metric.direction != "decrease" and found.lower > bound and (effect is None or effect >= allowed.increase):
        critical = metric.critical and (effect is None or effect >= metric.critical_size.increase)
        return Classification(label="High", critical=critical, ratio=effect, reason=_said(found, bound))
    if metric.direction != "increase" and found.upper < -bound and (effect is None or effect <= allowed.decrease):
        critical = metric.critical and (effect is None or effect <= metric.critical_size.decrease)
        return Classification(label="Low", critical=critical, ratio=effect, reason=_said(found, bound))
    return Classification(label="Pass", ratio=effect, reason=_said(found, bound))


def _said(found: Shift, bound: float) -> str:
    return f"shift {found.estimate:.4g} in [{found.lower:.4g}, {found.upper:.4g}], tolerated {bound:.4g}"


def _effect(base: _FloatArray, canary: _FloatArray, metric: KayentaMetric) -> float | None:
    if metric.effect == "cles":
        m, n = canary.size, base.size
        ranks = _ranks(np.concatenate([canary, base]))[0]
        return float((2 * ranks[:m].sum() - m * (m + 1)) / (2 * m * n))
    if base.mean() == 0 or canary.mean() == 0:
        return None
    return float(canary.mean() / base.mean())


def _ranks(values: _FloatArray) -> tuple[_FloatArray, _FloatArray]:
    """Mid-ranks, and the sizes of the groups of ties."""
    _values, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[place], sizes.astype(np.float64)


def statistic(experiment: _FloatArray, control: _FloatArray, *, moved: float, corrected: bool = True) -> float:
    """The standardised rank sum once the experiment is moved down by `moved`, with continuity correction."""
    m, n = experiment.size, control.size
    ranks, ties = _ranks(np.concatenate([experiment - moved, control]))
    centred = float(ranks[:m].sum()) - m * (m + 1) / 2 - m * n / 2
    spread = m * n / 12 * (m + n + 1 - float((ties**3 - ties).sum()) / ((m + n) * (m + n - 1)))
    half = 0.5 * np.sign(centred) if corrected else 0.0
    return float((centred - half) / math.sqrt(spread)) if spread > 0 else math.nan


def shift(
    control: Sequence[float] | _FloatArray, experiment: Sequence[float] | _FloatArray, *, confidence: float
) -> Shift:
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


def score(results: Sequence[tuple[str, Classification]], *, weights: Mapping[str, float] | None = None) -> float:
    """The canary's score, 0 to 100, rounded to two digits.

    Args:
        results: Group and classification of each metric.
        weights: Percent of each group; groups without one share what is left equally.
    """
    if any(found.critical and found.label != "Pass" for _, found in results):
        return 0.0
    nothing = sum(found.label == "Nodata" for _, found in results)
    if not results or nothing >= len(results) / 2:
        return 0.0
    weights = dict(weights or {})
    groups = list(dict.fromkeys(group for group, _ in results))
    others = [group for group in groups if group not in weights]
    total = 0.0
    for group in groups:
        labels = [found.label for name, found in results if name == group]
        counted = sum(label in {"Pass", "High", "Low", "NodataFailMetric"} for label in labels)
        part = 100.0 * labels.count("Pass") / counted if counted else 100.0
        weight = weights.get(group, (100.0 - sum(weights.values())) / len(others) if others else 0.0)
        total += weight * part / 100
    return round(total, 2)


def warnings(control: Sequence[float], experiment: Sequence[float]) -> tuple[str, ...]:
    """Why this judge should not be trusted with these samples."""
    said: list[str] = []
    for name, values in (("control", np.asarray(control)), ("experiment", np.asarray(experiment))):
        if values.size < _FEWEST_POINTS:
            said.append(f"{name} has {values.size} points, below {_FEWEST_POINTS}: the interval is an approximation")
        if values.size > _FEWEST_POINTS and np.unique(values).size < min(_FEW_VALUES, values.size / 5):
            said.append(
                f"{name} takes only {np.unique(values).size} values: on such scores a large loss can pass and the "
                "answer hangs on rounding; use a gate on the paired difference"
            )
        if values.size > 2 and values.std() > 0:
            lag = float(np.corrcoef(values[:-1], values[1:])[0, 1])
            if lag > _AUTOCORRELATION:
                said.append(
                    f"{name} is autocorrelated ({lag:.2f} at lag 1): false alarms become several times likelier"
                )
    return tuple(said)
