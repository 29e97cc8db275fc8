"""Did the candidate write what the incumbent wrote? Query by query, against the served arm, without any label."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from shadoweval.checks import checked_keywords, checked_truth
from shadoweval.protocols import Metric, Scorer
from shadoweval.records import Effect, Observation, Pair, PairScore, Score, Scored, Unscored, WriteComparison
from shadoweval.scoring.against import AgainstServed
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.write_sets import compare_writes

__all__ = ["Writes", "with_writes", "writes"]


@checked_keywords()
def writes(*, like_with_like: bool = False) -> Writes:
    """`writes`: 1 where an arm made the same writes as the served incumbent, and dependent ones in its order, else 0.

    The same are writes of one tool with equal arguments, as often; `Stubs(compare=...)` says which arguments count.
    Refused writes are compared, failed ones wrote nothing. Every experiment has this scorer.

    Args:
        like_with_like: Compare with the incumbent's re-run, for pipelines whose incumbent does not always write the
            same (a model with a temperature): both are then held against what was served. Only queries that were run
            again count: set `Experiment(rerun=1.0)`.
    """
    return Writes(like_with_like=checked_truth("writes(like_with_like)", like_with_like))


def with_writes(scorers: Sequence[Scorer], own: Writes) -> tuple[Scorer, ...]:
    """The scorers with an experiment's own one of `writes` among them; one of the user's that makes `writes` stays."""
    given = tuple(own if isinstance(scorer, Writes) else scorer for scorer in scorers)
    made = {metric.name for scorer in given for metric in scorer.metrics}
    return given if "writes" in made else (*given, own)


class Writes:
    """Scorer of `writes`; an experiment gives it the effects and the choice of arguments that its stubs declare."""

    def __init__(
        self,
        *,
        effects: Mapping[str, Effect] | None = None,
        compare: Mapping[str, Sequence[str]] | None = None,
        like_with_like: bool = False,
    ) -> None:
        self._effects, self._compare = effects or {}, compare or {}
        rests_on = msgspec.json.encode([sorted(self._effects.items()), sorted(self._compare.items())])
        declared = f" {hashlib.sha256(rests_on).hexdigest()[:8]}" if self._effects or self._compare else ""
        self._scorer = AgainstServed(
            PairScorer(
                metrics=(Metric(name="writes", like_with_like=like_with_like, fact_of_run=True),),
                version=f"writes/1{declared}",
                score_one=self._score_one,
            )
        )
        self.metrics, self.version = self._scorer.metrics, self._scorer.version

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """The candidate, and the incumbent's re-run, against what was served."""
        return self._scorer.score(pair)

    def compared(self, pair: Pair) -> WriteComparison:
        """What the candidate wrote beside what was served; where that failed, only with which tools."""
        comparison = self._against_served(pair.candidate, pair)
        return WriteComparison(tools=comparison.tools) if pair.served.failed else comparison

    def _score_one(self, observation: Observation, pair: Pair) -> Mapping[str, Score]:
        if observation is pair.served:
            return {"writes": Scored(1.0)}
        comparison = self._against_served(observation, pair)
        return {"writes": Unscored(comparison.unclear) if comparison.unclear else Scored(float(comparison.equal))}

    def _against_served(self, observation: Observation, pair: Pair) -> WriteComparison:
        return compare_writes(
            pair.served.tool_calls,
            observation.tool_calls,
            effects=self._effects,
            compare=self._compare,
            unrecorded=observation.writes,
            ended=not observation.failed,
        )
