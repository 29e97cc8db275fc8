"""From a score of one observation to a score of a pair.

A `PairScorer` holds one function that scores one observation; both arms, and the incumbent's re-run, go through it.
A failed run scores what it costs the user (`Metric.failure_scores`), it is never left out; a run that its caller gave
up, or that the shadow ended, says nothing about its pipeline and has no score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from shadoweval.checks import checked_fields, checked_function, checked_instance, checked_keywords, checked_list
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, PairScore, Score, Scored, Unscored

__all__ = ["PairScorer"]

ScoreOne = Callable[[Observation, Pair], Mapping[str, Score]]
"""Scores one observation of the pair: metric name -> score, for each metric of the scorer."""


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class PairScorer:
    """Scorer made of a function over one observation."""

    metrics: tuple[Metric, ...]
    version: str
    score_one: ScoreOne

    def __post_init__(self) -> None:
        checked_fields(self, "metrics", check=checked_list, mend="Write (Metric(name=...),).")
        for metric in self.metrics:
            checked_instance("each of PairScorer.metrics", metric, Metric, mend="Write Metric(name=...).")
        checked_instance("PairScorer.version", self.version, str, mend="Write for instance 'mine/1'.")
        checked_function("PairScorer.score_one", self.score_one)

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """Both arms under each metric, the re-run as noise."""
        served = self._arm(pair.served, pair)
        candidate = self._arm(pair.candidate, pair)
        rerun = None if pair.rerun is None else self._arm(pair.rerun, pair)
        for metric in self.metrics:
            again = None if rerun is None else rerun[metric.name]
            incumbent = served[metric.name]
            if metric.like_with_like:
                incumbent = again or Unscored("the incumbent was not run again on this query")
            yield PairScore(
                metric=metric.name,
                query_id=pair.id,
                incumbent=incumbent,
                candidate=candidate[metric.name],
                scorer_version=self.version,
                noise=again,
            )

    def _arm(self, observation: Observation, pair: Pair) -> dict[str, Score]:
        if observation.failure is None:
            return self._valued(observation, pair)
        if observation.unscored:
            return {metric.name: Unscored(observation.unscored) for metric in self.metrics}
        return {metric.name: _failed(metric, observation) for metric in self.metrics}

    def _valued(self, observation: Observation, pair: Pair) -> dict[str, Score]:
        try:
            scores = self.score_one(observation, pair)
        except Exception as error:  # noqa: BLE001 - a user's scorer may raise anything; the pair is unscored, with why
            return {m.name: Unscored(f"{type(error).__name__}: {error}") for m in self.metrics}
        return {m.name: scores.get(m.name, Unscored("the scorer gave no value")) for m in self.metrics}


def _failed(metric: Metric, observation: Observation) -> Score:
    kind = observation.failure.kind if observation.failure else "error"
    if metric.failure_scores is None:
        return Unscored(f"failed: {kind}")
    return Scored(metric.failure_scores)
