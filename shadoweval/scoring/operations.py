"""What an answer costs: seconds, tokens, dollars, processor and memory, failures.

Seconds and dollars are compared with the incumbent's re-run in the worker, never with what was served: a shadow path
that is slower for everybody would make every candidate look slow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from shadoweval.capture.retrieved import RETRIEVED
from shadoweval.checks import checked_choice, checked_keywords, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import (
    FIRST_PROCESS,
    Observation,
    Pair,
    PairScore,
    Score,
    Scored,
    TokenKind,
    Unscored,
)
from shadoweval.records.acts import unpriced
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = [
    "cost",
    "cpu",
    "errors",
    "first_chunk",
    "gpu_memory",
    "latency",
    "memory",
    "model_latency",
    "retrieval_latency",
    "throughput",
    "timeouts",
    "tokens",
    "tool_latency",
]


_COLD = "cold: the first run of a process, which may load what later ones have"
_UNTIMED = "untimed: the pool's clock says otherwise than the run's own"
_AGAIN = "cold: the first run of a process, since the one before was given up"
_MEGABYTE: Final = 1e6
_RAN: Final = frozenset({"live", "altered"})
"""How a tool call was answered that really ran; whatever a stub gave took no time of the tool's."""

_Measured = Callable[[Observation], float | Unscored | None]


def _amount(metric: Metric, measured: _Measured, *, missing: str, timed: bool = False, version: int = 2) -> PairScorer:
    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        if timed and observation.cold == FIRST_PROCESS:
            return {metric.name: Unscored(_COLD, informative=False)}
        if timed and observation.cold:  # the slow runs may be those that need a new process
            return {metric.name: Unscored(_AGAIN)}
        if timed and observation.untimed:
            return {metric.name: Unscored(_UNTIMED)}
        value = measured(observation)
        if isinstance(value, Unscored):
            return {metric.name: value}
        return {metric.name: Unscored(missing, informative=False) if value is None else Scored(float(value))}

    return PairScorer(metrics=(metric,), version=f"{metric.name}/{version}", score_one=score_one)


def _cheap(name: str, *, unit: str = "s", failure_scores: float | None, descriptive: bool = False) -> Metric:
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
        descriptive=descriptive,
        unit=unit,
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


def _covered(spans: Iterable[tuple[float, float]]) -> float | None:
    """Seconds in which at least one of (beginning, duration) was under way; None: there is none."""
    seconds, until, any_span = 0.0, float("-inf"), False
    for began, duration in sorted(spans):
        any_span, ended = True, began + duration
        seconds += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return seconds if any_span else None


def _steps(observation: Observation, kind: str) -> float | None:
    return _covered((step.started, step.duration) for step in observation.steps if step.kind == kind)


@checked_keywords()
def retrieval_latency(*, cap: float = 30.0) -> PairScorer:
    """`retrieval_latency`: seconds in which a retrieval was under way; what ran at the same time counts once.

    A retriever inside a tool that the shadow answered took no time of its own; a run with such a call is unscored.
    """

    def measured(observation: Observation) -> float | Unscored | None:
        if any(RETRIEVED in call.beside and call.answered not in _RAN for call in observation.tool_calls):
            return Unscored("the shadow answered a tool that retrieves, which took no time", informative=False)
        return _steps(observation, "retrieval")

    metric = _cheap("retrieval_latency", failure_scores=cap)
    return _amount(metric, measured, missing="nothing was retrieved", timed=True)


@checked_keywords()
def model_latency(*, cap: float = 30.0) -> PairScorer:
    """`model_latency`: seconds in which a model call was under way; what ran at the same time counts once."""
    metric = _cheap("model_latency", failure_scores=cap)
    return _amount(metric, lambda o: _steps(o, "model"), missing="no model was called", timed=True)


@checked_keywords()
def tool_latency(*, cap: float = 30.0) -> PairScorer:
    """`tool_latency`: seconds in which a tool call that really ran was under way.

    Calls that the shadow answered by a stub took no time of the tool's; a run with no other calls is unscored.
    """

    def measured(observation: Observation) -> float | Unscored | None:
        calls = observation.tool_calls
        seconds = _covered((call.started, call.duration) for call in calls if call.answered in _RAN)
        if seconds is None and calls:
            return Unscored("the shadow answered every tool call, so that none took its time", informative=False)
        return seconds

    metric = _cheap("tool_latency", failure_scores=cap)
    return _amount(metric, measured, missing="no tool was called", timed=True)


@checked_keywords()
def throughput() -> PairScorer:
    """`throughput`: output tokens a second, while models answered."""

    def measured(observation: Observation) -> float | None:
        seconds, made = _steps(observation, "model"), observation.usage.output_tokens
        return made / seconds if seconds and made is not None else None

    metric = Metric(
        name="throughput",
        low=0.0,
        high=None,
        like_with_like=True,
        fact_of_run=True,
        failure_scores=0.0,
        unit="tokens/s",
    )
    return _amount(metric, measured, missing="no model call reported its seconds and output tokens", timed=True)


@checked_keywords()
def cpu() -> PairScorer:
    """`cpu`: processor seconds of the run, measured where it has a process to itself."""
    missing = "not measured: the run shared its process with others"
    return _amount(_cheap("cpu", failure_scores=None), lambda o: o.usage.cpu_seconds, missing=missing, timed=True)


@checked_keywords()
def memory() -> PairScorer:
    """`memory`: the most memory that the run's process had had when the run ended, in megabytes (1e6 bytes)."""

    def measured(observation: Observation) -> float | None:
        peak = observation.usage.peak_memory
        return None if peak is None else peak / _MEGABYTE

    missing = "not measured: the run shared its process with others"
    return _amount(_cheap("memory", unit="MB", failure_scores=None), measured, missing=missing)


@checked_keywords()
def gpu_memory() -> PairScorer:
    """`gpu_memory`: the most GPU memory that PyTorch held during the run, in megabytes (1e6 bytes)."""

    def measured(observation: Observation) -> float | None:
        peak = observation.usage.gpu_memory
        return None if peak is None else peak / _MEGABYTE

    missing = "no GPU memory was measured: PyTorch used no GPU in this process, or the run shared it"
    return _amount(_cheap("gpu_memory", unit="MB", failure_scores=None), measured, missing=missing)


@checked_keywords()
def tokens(kind: TokenKind | None = None) -> PairScorer:
    """`tokens`: input and output tokens of all model calls; of one kind, which providers bill apart: `tokens@KIND`.

    Args:
        kind: `input` and `output` are whole; the others are parts of them. None: input and output together.
    """
    if kind is None:
        return _amount(
            _cheap("tokens", unit="tokens", failure_scores=None), _tokens, missing="no model reported its tokens"
        )
    checked_choice("tokens(kind)", kind, TokenKind)
    whole = kind in {"input", "output"}

    def measured(observation: Observation) -> float | None:
        usage = observation.usage
        return getattr(usage, f"{kind}_tokens") if whole else usage.tokens.get(kind)

    # More of them may be cheaper (a cache) or dearer (reasoning): which is better is the cost's to say.
    metric = _cheap(f"tokens@{kind}", unit="tokens", failure_scores=None, descriptive=not whole)
    return _amount(metric, measured, missing=f"no model call reported its {kind} tokens", version=1)


def _tokens(observation: Observation) -> float | None:
    used = observation.usage.input_tokens, observation.usage.output_tokens
    return None if used == (None, None) else sum(n or 0 for n in used)


@checked_keywords()
def cost() -> PairScorer:
    """`cost`: USD of all model calls; a run with a call of which nobody knows the price has none."""

    def measured(observation: Observation) -> float | Unscored | None:
        model = unpriced(observation.steps)
        if model:
            return Unscored(f"no price is known of {model!r}: name it in Limits(prices=)", informative=False)
        return observation.usage.cost_usd

    return _amount(
        _cheap("cost", unit="USD", failure_scores=None), measured, missing="no model call has a price", version=3
    )


@checked_keywords()
def errors() -> PairScorer:
    """`errors`: 1 where the run failed, else 0."""
    metric = Metric(name="errors", higher_is_better=False, failure_scores=1.0, fact_of_run=True, unit="share")
    return _amount(metric, lambda _: 0.0, missing="")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Whether a run ended since its time was up."""

    metrics: tuple[Metric, ...] = (Metric(name="timeouts", higher_is_better=False, fact_of_run=True, unit="share"),)
    version: str = "timeouts/1"

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """1 where it was, 0 where the run answered or failed otherwise."""
        yield PairScore(
            metric="timeouts",
            query_id=pair.id,
            incumbent=_timed_out(pair.served),
            candidate=_timed_out(pair.candidate),
            scorer_version=self.version,
            noise=None if pair.rerun is None else _timed_out(pair.rerun),
        )


def _timed_out(run: Observation) -> Score:
    if run.failed and run.unscored:
        return Unscored(run.unscored, informative=False)
    return Scored(float(run.failure is not None and run.failure.kind == "timeout"))


@checked_keywords()
def timeouts() -> Timeouts:
    """`timeouts`: 1 where the run ended since its time was up (a deadline, or a `TimeoutError` of its own), else 0."""
    return Timeouts()
