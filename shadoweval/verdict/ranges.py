"""Scores that are what their metric declares; all others are none, since what is proven rests on range and chances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import ScoreColumns

__all__ = ["sound"]


def sound(scores: Mapping[str, ScoreColumns], metrics: Sequence[Metric], n: int) -> dict[str, ScoreColumns]:
    """By metric, the scores of n pairs that are in its range; the others are unscored, with why."""
    return {metric.name: _sound(scores.get(metric.name), metric, n) for metric in metrics}


def _sound(scores: ScoreColumns | None, metric: Metric, n: int) -> ScoreColumns:
    if scores is None:
        nothing = np.zeros(n, dtype=np.bool_)
        return ScoreColumns(
            incumbent=np.zeros(n),
            candidate=np.zeros(n),
            incumbent_scored=nothing,
            candidate_scored=nothing,
            unscored={f"{arm}: the scorer said nothing": n for arm in ("incumbent", "candidate")},
        )
    unscored = Counter(scores.unscored)
    mended: dict[str, Any] = {}
    if scores.chance is not None and not (fits := _drawn_as_declared(scores.chance, metric)).all():
        scores = _likely_enough(scores, fits, unscored)
        mended["unscored"] = unscored
    for arm in ("incumbent", "candidate", "noise"):
        values, before = getattr(scores, arm), getattr(scores, f"{arm}_scored")
        if values is None:
            continue
        in_range, after = _in_range(values, before, metric)
        if in_range is not values:
            mended |= {arm: in_range, f"{arm}_scored": after}
        if after is not before and arm != "noise":
            unscored[f"{arm}: RangeError: outside the range that the scorer declares"] += int((before & ~after).sum())
    return replace(scores, **mended | {"unscored": unscored}) if mended else scores


def _drawn_as_declared(chance: FloatArray, metric: Metric) -> BoolArray:
    return (chance >= metric.least_chance) & (chance <= 1)  # false for NaN too


def _likely_enough(scores: ScoreColumns, fits: BoolArray, unscored: Counter[str]) -> ScoreColumns:
    """The scores without those whose chance is none that the metric declares: the reach of a score rests on that."""
    for arm in ("incumbent", "candidate"):
        unscored[f"{arm}: RangeError: not drawn with a chance from Metric.least_chance to 1"] += int((~fits).sum())
    return replace(
        scores,
        chance=None if scores.chance is None else np.where(fits, scores.chance, 1.0),
        incumbent_scored=scores.incumbent_scored & fits,
        candidate_scored=scores.candidate_scored & fits,
        noise_scored=None if scores.noise_scored is None else scores.noise_scored & fits,
        not_drawn=None if scores.not_drawn is None else scores.not_drawn & fits,
    )


def _in_range(values: FloatArray, scored: BoolArray, metric: Metric) -> tuple[FloatArray, BoolArray]:
    low = -np.inf if metric.low is None else metric.low
    high = np.inf if metric.high is None else metric.high
    if not values.size or (np.isfinite(values.sum()) and low <= values.min() and values.max() <= high):
        return values, scored
    fits = np.isfinite(values) & (values >= low) & (values <= high)
    if (fits | ~scored).all():
        return np.where(fits, values, 0.0), scored
    return np.where(fits, values, 0.0), scored & fits
