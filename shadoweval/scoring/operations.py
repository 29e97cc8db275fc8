"""What an answer costs: seconds, tokens, dollars, failures.

Seconds and dollars are compared with the incumbent's re-run in the worker, never with what was served: a shadow path
that is slower for everybody would make every candidate look slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shadoweval.checks import checked_keywords, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import FIRST_PROCESS, Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["cost", "errors", "first_chunk", "latency", "tokens"]


_COLD = "cold: the first run of a process, which may load what later ones have"
_UNTIMED = "untimed: the pool's clock says otherwise than the run's own"
_AGAIN = "cold: the first run of a process, since the one before was given up"


def _amount(
    metric: Metric, measured: Callable[[Observation], float | None], *, missing: str, timed: bool = False
) -> PairScorer:
    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        if timed and observation.cold == FIRST_PROCESS:
            return {metric.name: Unscored(_COLD, informative=False)}
        if timed and observation.cold:  # the slow runs may be those that need a new process
            return {metric.name: Unscored(_AGAIN)}
        if timed and observation.untimed:
            return {metric.name: Unscored(_UNTIMED)}
        value = measured(observation)
        return {metric.name: Unscored(missing, informative=False) if value is None else Scored(float(value))}

    return PairScorer(metrics=(metric,), version=f"{metric.name}/2", score_one=score_one)


def _cheap(name: str, *, failure_scores: float | None) -> Metric:
    if failure_scores is not None:
        checked_number(f"{name}(cap)", failure_scores, above=0)
    return Metric(
        name=name,
        higher_is_better=False,
        low=0.0,
        high=None,
        like_with_like=True,
        failure_scores=failure_scores,
        fact_of_run=True,
    )


@checked_keywords()
def latency(*, cap: float = 30.0) -> PairScorer:
    """`latency`: seconds until the last chunk; gate it as `latency.p50`, `latency.p95`, `latency.p99`.

    Args:
        cap: what a failed run scores, in seconds; the candidate's deadline is a good value.
    """
    return _amount(_cheap("latency", failure_scores=cap), lambda o: o.latency, missing="not timed", timed=True)


@checked_keywords()
def first_chunk(*, cap: float = 30.0) -> PairScorer:
    """`first_chunk`: seconds until a stream's first chunk; unscored where the pipeline does not stream."""
    metric = _cheap("first_chunk", failure_scores=cap)
    return _amount(metric, lambda o: o.first_chunk_latency, missing="not a stream", timed=True)


def _tokens(observation: Observation) -> float | None:
    used = observation.usage.input_tokens, observation.usage.output_tokens
    return None if used == (None, None) else sum(n or 0 for n in used)


@checked_keywords()
def tokens() -> PairScorer:
    """`tokens`: input and output tokens of all model calls."""
    return _amount(_cheap("tokens", failure_scores=None), _tokens, missing="no model reported its tokens")


@checked_keywords()
def cost() -> PairScorer:
    """`cost`: USD of all model calls."""
    return _amount(_cheap("cost", failure_scores=None), lambda o: o.usage.cost_usd, missing="no model call has a price")


@checked_keywords()
def errors() -> PairScorer:
    """`errors`: 1 where the run failed, else 0."""
    metric = Metric(name="errors", higher_is_better=False, failure_scores=1.0, fact_of_run=True)
    return _amount(metric, lambda _: 0.0, missing="")
