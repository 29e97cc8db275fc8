"""The incumbent's failures credit nobody: an outage of what is served is no merit of a candidate that ran later.

A pair in which the incumbent failed, by its own doing, proves no gain, unless its re-run failed as well: then it is the
query that it fails at. Single failures of two arms that fail alike make up for each other; failures one after the other
do not, since the candidate was not there: in an outage (at least two of the four pairs before failed too) there is
nothing to compare with, and the incumbent has no score. Both hold whatever batches pairs come in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from shadoweval.evidence.inputs import BoolArray
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.rules import Rules

__all__ = ["Outages", "credited_doubt"]

_BEFORE: Final = 4
_FAILED: Final = 2


class Outages:
    """Finds the pairs of outages in a stream, and takes their credit away."""

    def __init__(self) -> None:
        self._before: BoolArray = np.zeros(_BEFORE, dtype=np.bool_)
        """Whether the incumbent failed in each of the newest pairs."""
        self.pairs = 0
        """Pairs in an outage."""

    def without_credit(self, columns: Columns, metrics: Sequence[Metric]) -> Columns:
        """A batch without what the incumbent's failures would prove; what compares like with like is as it was."""
        failed = columns.incumbent_failed
        if failed is None:
            failed = np.zeros(columns.n, dtype=np.bool_)
        seen = np.concatenate([self._before, failed])
        self._before = seen[-_BEFORE:]
        if not failed.any():
            return columns
        sums = np.concatenate([[0], np.cumsum(seen)])
        out = failed & (sums[_BEFORE : _BEFORE + columns.n] - sums[: columns.n] >= _FAILED)
        self.pairs += int(out.sum())
        served = {metric.name for metric in metrics if not metric.like_with_like}
        scores = {n: _without(own, failed, out) if n in served else own for n, own in columns.scores.items()}
        return replace(columns, scores=scores)

    def notices(self, pairs: int) -> tuple[str, ...]:
        """How many pairs were in an outage; nothing where there was none."""
        if not self.pairs:
            return ()
        sentence = (
            f"An outage of the incumbent's: in {self.pairs} of {pairs} pairs it failed as it had just before. They are "
            "left out of every comparison with what was served, since the candidate ran later"
        )
        return (sentence,)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"before": self._before.tolist(), "pairs": self.pairs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._before = np.array(state["before"], dtype=np.bool_)
        self.pairs = state["pairs"]


def credited_doubt(uncredited: float, rules: Rules, *, proven: bool) -> str:
    """Why a gain whose log evidence, without what proves none, is `uncredited` is not proven; empty: it is."""
    if not proven or uncredited >= math.log(1 / rules.promotion_alpha):
        return ""
    return "not proven without the pairs in which the incumbent failed, which prove no gain"


def _without(scores: ScoreColumns, failed: BoolArray, out: BoolArray) -> ScoreColumns:
    by_design = scores.missing_by_design
    return replace(
        scores,
        no_gain=failed,
        incumbent_scored=scores.incumbent_scored & ~out,
        left_out=out,
        noise_scored=None if scores.noise_scored is None else scores.noise_scored & ~out,
        missing_by_design=out if by_design is None else by_design | out,
    )
