"""What an answer costs."""

import pytest

from shadoweval import Limits
from shadoweval.errors import ArgumentError, UnknownArgumentError
from shadoweval.protocols import Scorer
from shadoweval.records import FIRST_PROCESS, Failure, Scored, Step, ToolCall, Unscored, Usage
from shadoweval.scoring import (
    cost,
    cpu,
    gpu_memory,
    memory,
    model_latency,
    retrieval_latency,
    throughput,
    timeouts,
    tokens,
    tool_latency,
)
from shadoweval.testing import make_pair

TIMED = [retrieval_latency(), model_latency(), tool_latency(), throughput(), cpu()]
ALL = [*TIMED, memory(), gpu_memory(), tokens("reasoning"), tokens("input")]
VALUES = [0.5, 2.0, 0.25, 25.0, 0.5, 3.0, 5.0, 20.0, 100.0]
FULL = {
    "steps": (
        Step(kind="retrieval", name="r", started=0.0, duration=0.5),
        Step(kind="model", name="m", started=0.5, duration=2.0, output_tokens=50, cost_usd=0.1),
    ),
    "calls": [ToolCall(name="t", started=1.0, duration=0.25)],
    "usage": Usage(
        input_tokens=100,
        output_tokens=50,
        cpu_seconds=0.5,
        peak_memory=3_000_000,
        gpu_memory=5_000_000,
        tokens={"reasoning": 20},
    ),
}


def candidate(scorer, **shadow):
    (score,) = scorer.score(make_pair(shadow=shadow, rerun={}))
    return score.candidate


@pytest.mark.parametrize(("scorer", "value"), list(zip(ALL, VALUES, strict=True)), ids=lambda each: "")
def test_each_is_measured_by_itself(scorer, value):
    """Compared with the re-run, since both ran in the worker; nothing measured is a reason, never 0."""
    assert isinstance(scorer, Scorer)
    assert candidate(scorer, **FULL) == Scored(value)
    assert isinstance(candidate(scorer), Unscored)
    (score,) = scorer.score(make_pair(served=FULL, shadow=FULL, rerun=FULL))
    assert score.incumbent == score.candidate == score.noise
    (score,) = scorer.score(make_pair(served=FULL, shadow=FULL))
    assert isinstance(score.incumbent, Unscored)


@pytest.mark.parametrize("scorer", TIMED, ids=lambda each: each.metrics[0].name)
def test_the_first_run_of_a_process_is_not_timed(scorer):
    """It may load what later ones have."""
    score = candidate(scorer, **FULL, cold=FIRST_PROCESS)
    assert "cold" in score.reason
    assert not score.informative


def test_what_runs_at_the_same_time_counts_once():
    """Parallel retrievals, and one within another."""
    spans = [(0.0, 1.0), (0.25, 0.25), (0.5, 1.0), (3.0, 0.5)]
    steps = tuple(Step(kind="retrieval", name="r", started=start, duration=took) for start, took in spans)
    assert candidate(retrieval_latency(), steps=steps[::-1]) == Scored(2.0)


def test_a_stub_takes_none_of_a_tools_time():
    """Only calls that really ran count."""
    calls = [
        ToolCall(name="a", duration=0.5, answered="live"),
        ToolCall(name="b", started=0.5, duration=9.0, answered="simulated"),
    ]
    assert candidate(tool_latency(), calls=calls) == Scored(0.5)
    assert "the shadow answered every tool call" in candidate(tool_latency(), calls=calls[1:]).reason
    assert "no tool was called" in candidate(tool_latency()).reason


def test_a_run_that_fails_is_slow_and_no_cheap_one():
    """Seconds at the cap, no tokens a second, no dollars."""
    crash = {"failure": Failure(kind="crash")}
    assert candidate(model_latency(cap=9.0), **crash) == Scored(9.0)
    assert candidate(throughput(), **crash) == Scored(0.0)
    assert isinstance(candidate(memory(), **crash), Unscored)


@pytest.mark.parametrize(
    ("run", "score"),
    [
        ({"failure": Failure(kind="timeout")}, Scored(1.0)),
        ({"failure": Failure(kind="error")}, Scored(0.0)),
        ({}, Scored(0.0)),
        (
            {"failure": Failure(kind="killed", cause="a kill")},
            Unscored("ended by the shadow: a kill", informative=False),
        ),
    ],
)
def test_only_time_outs_are_time_outs(run, score):
    """Other failures are `errors`; what the shadow ended says nothing."""
    assert candidate(timeouts(), **run) == score


def test_a_cost_without_the_price_of_each_call_is_none():
    """A sum that leaves a call out would be too low; steps without tokens are no calls that are billed."""
    priced = Step(kind="model", name="big", input_tokens=10, cost_usd=0.5)
    local = Step(kind="model", name="on this machine")
    unpriced = Step(kind="model", name="new-model", output_tokens=10)
    usage = Usage(input_tokens=10, cost_usd=0.5)
    assert candidate(cost(), steps=(priced, local), usage=usage) == Scored(0.5)
    assert "'new-model'" in candidate(cost(), steps=(priced, unpriced), usage=usage).reason


@pytest.mark.parametrize(
    ("model", "dollars"),
    [
        ("gpt-4o", 3.5),
        ("gpt-4o-2024-11-20", 3.5),
        ("gpt-4o-20241120", 3.5),
        ("gpt-4o@20241120", 3.5),
        ("gpt-4o-0613", 3.5),
        ("gpt-4o-mini", None),
        ("gpt-4o-mini-2024-07-18", None),
        ("gpt-4", None),
        ("GPT-4o", None),
        ("gpt-4o-audio-preview", None),
        ("ft:gpt-4o", None),
        ("", None),
    ],
)
def test_a_price_is_of_its_model_and_its_dated_versions(model, dollars):
    """A mini is never its big brother."""
    assert Limits(prices={"gpt-4o": (2.5, 10.0)}).cost(model, 1_000_000, 100_000) == dollars


def test_parts_that_are_billed_apart():
    """Each at its own price, the rest at the whole's; more of a part than of the whole is none of it."""
    limits = Limits(prices={"m": {"input": 2.0, "cached_input": 0.5, "cache_write": 4.0, "output": 8.0}})
    million = 1_000_000
    assert limits.cost("m", million, 0, kinds={"cached_input": million // 2}) == 1.25
    assert limits.cost("m", million, 0, kinds={"cached_input": million // 2, "cache_write": million // 4}) == 1.75
    assert limits.cost("m", million, million, kinds={"reasoning": million}) == 10.0
    assert limits.cost("m", million, 0, kinds={"cached_input": 9 * million}) == 0.5
    assert limits.cost("m", None, None) is None


@pytest.mark.parametrize(
    ("price", "why"),
    [
        ({"input": 1.0}, "'input' and 'output'"),
        ({"input": 1.0, "output": 2.0, "cached": 1.0}, "cached"),
        ({"input": -1.0, "output": 2.0}, "input"),
        ((1.0,), "two numbers"),
        ("free", "two numbers"),
    ],
)
def test_a_wrong_price_is_an_error_where_it_is_written(price, why):
    """With what is meant."""
    with pytest.raises(ArgumentError, match=why):
        Limits(prices={"m": price})


def test_a_kind_of_token_that_is_none():
    """With those that there are."""
    with pytest.raises(ArgumentError, match="cached_input"):
        tokens("cached")


def test_a_mistyped_argument_is_an_error():
    """As of all scorers, also of one that has none."""
    with pytest.raises(UnknownArgumentError, match="cap"):
        timeouts(cap=3)


def test_a_retriever_inside_an_answered_tool_took_no_time():
    """Its hits are replayed with the tool: nothing was searched, which is no speed."""
    lists = {"retrieved": {"0": [0.1, "search", False, [["d", 1.0, "text"]]]}}
    steps = (Step(kind="retrieval", name="search", started=0.1, duration=0.0),)
    replayed = ToolCall(name="look_up", effect="read", answered="replayed", beside=lists)
    live = ToolCall(name="look_up", effect="read", answered="live", beside=lists)
    score = candidate(retrieval_latency(), calls=[replayed], steps=steps)
    assert "answered a tool that retrieves" in score.reason
    assert candidate(retrieval_latency(), calls=[live], steps=steps) == Scored(0.0)
