"""Any single-turn metric of ragas as a scorer: NaN, a value out of range and an exception are reasons, never numbers.

ragas turns exceptions of its judge into NaN and averages around them, so that a system that breaks the judge on its bad
half looks good (vibrantlabsai/ragas PRs 2818 and 2832). Here such a pair is unscored in that arm, and where the arms
differ in what is missing the verdict holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from shadoweval._optional import require
from shadoweval.checks import checked_keywords
from shadoweval.errors import ArgumentError
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["ragas_metric"]


@checked_keywords()
def ragas_metric(
    metric: Any,
    *,
    name: str | None = None,
    version: str,
    low: float = 0.0,
    high: float = 1.0,
    higher_is_better: bool = True,
) -> PairScorer:
    """A ragas metric over both arms, named `ragas.NAME`.

    Args:
        metric: An instance with `single_turn_score`, set up with its judge where it needs one.
        name: Default: the metric's own name.
        version: Names what decides its values (ragas version, judge model, prompt): ragas does not.
        low: Smallest value it can give.
        high: Largest value it can give.
        higher_is_better: False for those that count what is wrong (`NoiseSensitivity`).
    """
    if not hasattr(metric, "single_turn_score"):
        raise ArgumentError(
            "ragas_metric()", metric, expected="a ragas metric", mend="Pass an instance: Faithfulness(llm=...)."
        )
    named = f"ragas.{name or metric.name}"

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        value = float(metric.single_turn_score(_sample(observation, pair)))
        if not math.isfinite(value):
            return {named: Unscored("ragas gave no number")}
        if not low <= value <= high:
            return {named: Unscored(f"ragas gave {value:g}, outside [{low:g}, {high:g}]")}
        return {named: Scored(value)}

    described = Metric(name=named, low=low, high=high, higher_is_better=higher_is_better, costly=True)
    return PairScorer(metrics=(described,), version=f"{named}/{version}", score_one=score_one)


def _sample(observation: Observation, pair: Pair) -> Any:
    """What ragas reads of a run."""
    schema = require("ragas.dataset_schema", extra="ragas", needed_for="ragas metrics")
    outcome, labels = observation.outcome, pair.labels
    return schema.SingleTurnSample(
        user_input=pair.query.text,
        response=outcome.answer if outcome else None,
        reference=labels.reference,
        retrieved_contexts=[hit.text or "" for hit in observation.hits] or None,
        retrieved_context_ids=[hit.id for hit in observation.hits] or None,
        reference_context_ids=[name for name, grade in labels.relevant.items() if grade > 0] or None,
    )
