"""Scores of some pairs speak for all: each that was drawn for a score counts by the chance with which it was drawn.

Where a pair is scored with a chance p that was known before, and a cheaper score F is there of every pair, the mean of
Z = w F + drawn / p (Y - w F) is the mean of the scores Y of all pairs, however wrong F is, and w is learned from
earlier pairs (`evidence.ppi`). Here the scores of both arms, and of the re-run, become their Z, which is all that
gates, slices and summaries read. Pairs that were drawn and got no score are missing, and each speaks for 1 / p pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray
from shadoweval.evidence.ppi import FEWEST_LABELS, Trust
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import ScoreColumns
from shadoweval.verdict.summary import MetricCounts

__all__ = ["Drawn", "drawn_doubt", "drawn_notices"]


class Drawn:
    """Weighs the scores of metrics of which not every pair is scored."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = {metric.name: metric for metric in metrics if metric.least_chance < 1}
        self._trust = {name: Trust() for name in self._metrics}

    def weighed(self, scores: Mapping[str, ScoreColumns]) -> dict[str, ScoreColumns]:
        """A batch of sound scores, later than all before, by metric."""
        return {
            name: self._weighed(self._metrics[name], own) if name in self._metrics else own
            for name, own in scores.items()
        }

    def _weighed(self, metric: Metric, scores: ScoreColumns) -> ScoreColumns:
        n = scores.incumbent.size
        chance = np.ones(n) if scores.chance is None else scores.chance
        not_drawn = np.zeros(n, dtype=np.bool_) if scores.not_drawn is None else scores.not_drawn
        known = scores.both | (not_drawn if scores.left_out is None else not_drawn & ~scores.left_out)
        drawn, own = scores.both[known], chance[known]
        arms = np.array([scores.incumbent[known], scores.candidate[known]])
        cheap = np.zeros((2, n)) if scores.proxies is None else scores.proxies
        cheap = np.clip(np.nan_to_num(cheap), metric.low, metric.high)[:, known]  # any function of it will do
        origin = metric.low or 0.0  # a score that is not there, and is not guessed, is nothing of the range
        weighed = np.zeros((2, n))
        weighed[:, known] = origin + self._trust[metric.name].weigh(
            arms - origin, cheap - origin, drawn=drawn, chance=own
        )
        return replace(
            scores,
            incumbent=weighed[0],
            candidate=weighed[1],
            incumbent_scored=known,
            candidate_scored=known,
            **_noise(scores, weighed[0], chance=chance, known=known),
            raw=scores,
        )

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {name: trust.to_state() for name, trust in self._trust.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        for name, trust in self._trust.items():
            trust.restore(state[name])


def _noise(scores: ScoreColumns, incumbent: FloatArray, *, chance: FloatArray, known: BoolArray) -> dict[str, Any]:
    """The re-run as it lies from the incumbent's Z: where it was scored, by the pair's chance; else not at all."""
    if scores.noise is None or scores.noise_scored is None:
        return {}
    undrawn = known & ~scores.both
    again = undrawn if scores.rerun_not_drawn is None else undrawn & scores.rerun_not_drawn
    measured = scores.noise_scored & scores.both
    apart = np.where(measured, (scores.noise - scores.incumbent) / chance, 0.0)
    return {"noise": incumbent + apart, "noise_scored": measured | again}


def drawn_doubt(metric: Metric, counts: MetricCounts | None) -> str:
    """Why a gate on scores of some pairs is not taken as proven yet; empty: nothing is in the way."""
    if metric.least_chance >= 1 or counts is None or counts.drawn >= FEWEST_LABELS:
        return ""
    return f"{counts.drawn} of at least {FEWEST_LABELS} pairs that were drawn for a score have one"


def drawn_notices(metrics: Sequence[Metric], counts: Mapping[str, MetricCounts]) -> tuple[str, ...]:
    """Of each metric that not every pair was drawn for, how many pairs its scores rest on."""
    return tuple(
        f"{metric.name}: scored in {own.drawn} of {own.both} pairs, drawn with chances from {own.lowest_chance:.3g} to "
        "1; each score counts by its chance, so that its mean and its interval are those of all pairs"
        for metric in metrics
        if (own := counts[metric.name]).drawn < own.both
    )
