"""Whether the agent's tool calls worked, and whether they were the right ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from shadoweval.capture.interception import INTERRUPTED, UNFINISHED
from shadoweval.checks import checked_keywords
from shadoweval.codec import canonical
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, ToolCall, Unscored
from shadoweval.scoring.pair_scorer import PairScorer

_NO_CALL: Final = "no tool call was made"

__all__ = ["tool_calls_f1", "tool_success", "writes_f1"]


@checked_keywords()
def tool_success() -> PairScorer:
    """`tool_success`: share of the tool calls that succeeded, with neither an error nor a result that is one.

    A run that made no call is unscored: it says nothing of calls. A call that the shadow refused says nothing about the
    candidate: it is left out, and a run of which every call was refused is unscored. One that waits for the answer of
    a person has not ended, and is left out too.
    """

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        calls = [call for call in observation.tool_calls if call.answered != "refused"]
        if observation.tool_calls and not calls:
            return {"tool_success": Unscored("the shadow refused every tool call")}
        calls = [call for call in calls if not (call.error or "").startswith((INTERRUPTED, UNFINISHED))]
        good = sum(call.succeeded for call in calls)
        return {
            "tool_success": Scored(good / len(calls)) if calls else Unscored(_NO_CALL, informative=any(_made(pair)))
        }

    metric = Metric(name="tool_success", fact_of_run=True)
    return PairScorer(metrics=(metric,), version="tool_success/3", score_one=score_one)


def _multiset(calls: tuple[ToolCall, ...], *, writes_only: bool) -> Counter[tuple[str, str]]:
    return Counter((c.name, canonical(c.arguments)) for c in calls if (c.writes and c.succeeded) or not writes_only)


def _f1(made: Counter[tuple[str, str]], expected: Counter[tuple[str, str]]) -> float:
    if not made and not expected:
        return 1.0
    return 2 * (made & expected).total() / (made.total() + expected.total())


def _made(pair: Pair) -> list[tuple[ToolCall, ...]]:
    """Calls of all runs of a pair."""
    return [run.tool_calls for run in (pair.served, pair.candidate, pair.rerun) if run is not None]


def _expected(name: str, *, writes_only: bool) -> PairScorer:
    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        expected = pair.labels.expected_calls
        if expected is None:
            return {name: Unscored("no expected tool calls", informative=False)}
        if not expected and not any(_multiset(calls, writes_only=writes_only) for calls in _made(pair)):
            return {name: Unscored("no tool call was expected, and none was made", informative=False)}
        made = _multiset(observation.tool_calls, writes_only=writes_only)
        return {name: Scored(_f1(made, _multiset(expected, writes_only=writes_only)))}

    return PairScorer(metrics=(Metric(name=name),), version=f"{name}/3", score_one=score_one)


@checked_keywords()
def tool_calls_f1() -> PairScorer:
    """`tool_calls_f1`: calls made against `Labels.expected_calls`, as multisets of (tool, canonical arguments).

    A payment made three times is not the payment made once. Where no call is expected, an arm that makes none scores 1
    if the other makes some; if neither does the pair is unscored, since it tells nothing of calls.
    """
    return _expected("tool_calls_f1", writes_only=False)


@checked_keywords()
def writes_f1() -> PairScorer:
    """`writes_f1`: as `tool_calls_f1`, over the calls that changed the world alone."""
    return _expected("writes_f1", writes_only=True)
