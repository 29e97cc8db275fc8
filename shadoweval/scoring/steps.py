"""How an agent went about it: how many steps, in circles, again after failures, and whether it got over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shadoweval.capture.failed_results import shown
from shadoweval.capture.identity import call_key
from shadoweval.checks import checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, ToolCall, Unscored
from shadoweval.scoring.against import agent_calls
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["after_failure", "steps"]

_COUNTS: Mapping[str, Any] = {"low": 0.0, "high": None, "higher_is_better": False, "failure_scores": None}


@checked_keywords()
def steps() -> PairScorer:
    """`steps`, `loops`, `retries` and `recovery`: how long a run's way was, and what it did about failing tools.

    `steps` counts model calls, retrievals and the agent's tool calls. `loops` are calls that were made before, with the
    same arguments and to the same result, while nothing had been written. `retries` are calls of a tool whose
    last call failed. `recovery` is 1 where every tool that failed succeeded later, 0 where one did not; a run in
    which none failed has none.
    """
    metrics = (
        Metric(name="steps", fact_of_run=True, descriptive=True, **_COUNTS),
        *(Metric(name=name, fact_of_run=True, **_COUNTS) for name in ("loops", "retries")),
        Metric(name="recovery", fact_of_run=True, failure_scores=None),
    )
    return PairScorer(metrics=metrics, version="steps/1", score_one=_score_one)


def _score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:  # noqa: ARG001 - a scorer's signature
    calls = agent_calls(observation.tool_calls)
    others = sum(step.kind in {"model", "retrieval"} for step in observation.steps)
    over = recovered(calls)
    return {
        "steps": Scored(float(others + len(calls))),
        "loops": Scored(float(loops_of(calls))),
        "retries": Scored(float(retries_of(calls))),
        "recovery": Unscored("no tool call failed", informative=False) if over is None else Scored(float(over)),
    }


def loops_of(calls: Sequence[ToolCall]) -> int:
    """How many calls repeat an earlier one, with the same result, and nothing was written in between."""
    seen: set[tuple[str, str, str]] = set()
    loops = 0
    for call in calls:
        made = call.name, call_key(call.arguments), call.error or shown(call.result)
        if made in seen:
            loops += 1
        elif call.writes and call.succeeded:
            seen.clear()
        seen.add(made)
    return loops


def retries_of(calls: Sequence[ToolCall]) -> int:
    """How many calls are of a tool whose last call failed."""
    failed: dict[str, bool] = {}
    retries = 0
    for call in calls:
        retries += failed.get(call.name, False)
        failed[call.name] = not call.succeeded
    return retries


def recovered(calls: Sequence[ToolCall]) -> bool | None:
    """Whether every tool that failed succeeded later; None: none failed."""
    last = {call.name: call.succeeded for call in calls}
    failed = {call.name for call in calls if not call.succeeded}
    return all(last[name] for name in failed) if failed else None


def after_failure(observation: Observation) -> str:
    """The first tool call that failed, and what followed from it; empty: none failed."""
    calls = agent_calls(observation.tool_calls)
    first = next((number for number, call in enumerate(calls) if not call.succeeded), None)
    if first is None:
        return ""
    call, later = calls[first], calls[first + 1 :]
    again = [each for each in later if each.name == call.name]
    if observation.failed and not later:
        followed = "the run failed with it"
    elif not again:
        followed = "went on with " + later[0].name if later else "answered all the same"
    else:
        times = f"{len(again)} more time{'s' if len(again) > 1 else ''}"
        followed = f"called it {times}, {'which succeeded' if again[-1].succeeded else 'in vain'}"
    why = (call.error or call.failed or "").splitlines()[0]
    return f"{call.name} failed in call {first + 1} ({why:.120}); {followed}"
