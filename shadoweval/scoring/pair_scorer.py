"""From a score of one observation to a score of a pair.

A `PairScorer` holds one function that scores one observation; both arms, and the incumbent's re-run, go through it.
A failed run scores what it costs the user (`Metric.failure_scores`), it is never left out; a run that its caller gave
up, or that the shadow ended, says nothing about its pipeline and has no score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Final, Self

from shadoweval.capture.interception import message_of
from shadoweval.checks import (
    checked_fields,
    checked_function,
    checked_instance,
    checked_keywords,
    checked_list,
    checked_mapping,
    checked_truth,
)
from shadoweval.errors import ArgumentError, MissingExtraError
from shadoweval.protocols import Metric
from shadoweval.records import NOT_RERUN, Observation, Pair, PairScore, Score, Scored, Unscored

__all__ = ["NO_TEXT", "PairScorer", "raised"]

NO_TEXT: Final = Unscored("the pipeline returned no text; give outcome= to the mirror")
"""The score of an answer where there is none to read."""

_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""HTTP answers of a judge that could not be asked, whatever it would have said."""

_NO_VALUE: Final = Unscored("the scorer gave no value")
_NOT_RERUN: Final = Unscored(NOT_RERUN, informative=False)

ScoreOne = Callable[[Observation, Pair], Mapping[str, Score]]
"""Scores one observation of the pair: metric name -> score, for each metric of the scorer."""


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class PairScorer:
    """Scorer made of a function over one observation."""

    metrics: tuple[Metric, ...]
    version: str
    score_one: ScoreOne
    rebuild: bool = False
    """Whether the function needs objects of the pipeline's classes, and not mappings of their fields.

    It then runs in a guarded process, one for each observation, where they are rebuilt: results of tools, and what
    a pipeline returned under `Experiment(outcome=keep_objects)`. It must be a function of a module. A pair whose
    process fails, hangs or dies is unscored.
    """
    made_by: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)
    """Whose word the scores are, for report and OpenTelemetry: `{"model": "gpt-4.1", "prompt": PROMPT}`. Of a prompt
    its hash is shown."""

    def __post_init__(self) -> None:
        checked_fields(self, "metrics", check=checked_list, mend="Write (Metric(name=...),).")
        for metric in self.metrics:
            checked_instance("each of PairScorer.metrics", metric, Metric, mend="Write Metric(name=...).")
        checked_instance("PairScorer.version", self.version, str, mend="Write for instance 'mine/1'.")
        checked_function("PairScorer.score_one", self.score_one)
        checked_fields(self, "made_by", check=checked_mapping)
        if checked_truth("PairScorer.rebuild", self.rebuild):
            name = getattr(self.score_one, "__qualname__", "<lambda>")
            if "<" in name or self.score_one.__module__ == "__main__":
                mend = "Define it in a module, outside any function."
                raise ArgumentError("PairScorer.score_one", self.score_one, expected="importable", mend=mend)

    def named(self, name: str) -> Self:
        """The same scorer under another name, so that two of a kind stand in one experiment.

        `token_f1("words").named("token_f1_words")` beside `token_f1()`; a gate then asks for `token_f1_words`.

        Raises:
            ArgumentError: several metrics, of which one name can't tell; or a scorer with `rebuild`, whose function
                another process imports.
        """
        mend = "Write the names into its metrics."
        if self.rebuild:
            raise ArgumentError("the scorer of named()", self, expected="one without rebuild=True", mend=mend)
        if len(self.metrics) != 1:
            names = [metric.name for metric in self.metrics]
            raise ArgumentError("the metrics of named()", names, expected="a single one", mend=mend)
        (metric,), score_one = self.metrics, self.score_one

        @wraps(score_one)  # whose scores they are stays said
        def renamed(observation: Observation, pair: Pair) -> Mapping[str, Score]:
            return {name: score_one(observation, pair).get(metric.name, _NO_VALUE)}

        return replace(self, metrics=(replace(metric, name=name),), score_one=renamed)

    def score(self, pair: Pair, *, basis: str = "") -> list[PairScore]:
        """Both arms under each metric, the re-run as noise; `basis` as of `PairScore`."""
        served, candidate = self._arm(pair.served, pair), self._arm(pair.candidate, pair)
        rerun = None if pair.rerun is None else self._arm(pair.rerun, pair)
        query_id, version = pair.query.id, self.version
        scores: list[PairScore] = []
        for metric in self.metrics:
            name = metric.name
            again = None if rerun is None else rerun.get(name, _NO_VALUE)
            incumbent = again or _NOT_RERUN if metric.like_with_like else served.get(name, _NO_VALUE)
            scores.append(
                PairScore(
                    metric=name,
                    query_id=query_id,
                    incumbent=incumbent,
                    candidate=candidate.get(name, _NO_VALUE),
                    scorer_version=version,
                    noise=again,
                    basis=basis,
                )
            )
        return scores

    def _arm(self, observation: Observation, pair: Pair) -> Mapping[str, Score]:
        if observation.failure is not None:
            return self._of_failed(observation)
        if self.rebuild:  # never here, where no guard holds what a class does
            return {
                m.name: Unscored("objects are rebuilt by evaluate() alone", informative=False) for m in self.metrics
            }
        try:
            scores = self.score_one(observation, pair)
            return scores if type(scores) is dict else {m.name: scores.get(m.name, _NO_VALUE) for m in self.metrics}
        except (KeyboardInterrupt, MissingExtraError):
            raise
        except BaseException as error:  # noqa: BLE001 - a user's scorer may raise anything; the pair is unscored, with why
            return {m.name: raised(error) for m in self.metrics}

    def _of_failed(self, observation: Observation) -> Mapping[str, Score]:
        if why := observation.unscored:
            return {metric.name: Unscored(why, informative=False) for metric in self.metrics}
        return {metric.name: _failed(metric, observation) for metric in self.metrics}


def raised(error: BaseException) -> Unscored:
    """No score, since the scorer raised; a judge that was busy or out of reach says nothing about the answer."""
    named = type(error).__name__
    status = getattr(error, "status_code", getattr(error, "status", None))
    busy = isinstance(error, TimeoutError | ConnectionError) or status in _BUSY
    away = busy or "RateLimit" in named or "Timeout" in named or "APIConnection" in named
    return Unscored(f"{named}: {message_of(error)}", informative=not away)


def _failed(metric: Metric, observation: Observation) -> Score:
    kind = observation.failure.kind if observation.failure else "error"
    if metric.failure_scores is None:
        return Unscored(f"failed: {kind}")
    return Scored(metric.failure_scores)
