"""Gates say what must hold, and refuse to be written without a margin."""

import math

import pytest

from shadoweval.errors import ExperimentError, MissingMarginError
from shadoweval.verdict.gates import Gate, at_least, at_most, better, no_worse


@pytest.mark.parametrize(
    ("gate", "sentence"),
    [
        (better("recall@5", by=0.02), "recall@5 is better by 0.02"),
        (no_worse("tool_success", 0.005), "tool_success is no worse by 0.005"),
        (at_most("latency.p95", ratio=1.10), "latency.p95 is at most 1.1 x incumbent"),
        (at_most("cost", 0.02), "cost is at most 0.02"),
        (at_least("recall@5", 0.8), "recall@5 is at least 0.8"),
    ],
)
def test_a_gate_reads_as_a_sentence(gate: Gate, sentence: str) -> None:
    """The claim that is shown is the claim that was written."""
    assert gate.sentence == sentence


@pytest.mark.parametrize("make", [better, no_worse, at_most, at_least])
def test_a_gate_without_a_margin_is_refused(make) -> None:
    """No margin has a default: the error says what to write."""
    with pytest.raises(MissingMarginError, match=rf"Write {make.__name__}\('recall@5'"):
        make("recall@5")


@pytest.mark.parametrize("margin", [math.nan, math.inf, -0.01, True, "0.02"])
@pytest.mark.parametrize("make", [better, no_worse])
def test_a_margin_is_a_finite_size(make, margin) -> None:
    """Not a number, infinite, negative, boolean and text margins are refused where they are written."""
    with pytest.raises(ExperimentError, match="recall@5"):
        make("recall@5", by=margin)


@pytest.mark.parametrize(
    "make",
    [
        lambda: no_worse("recall@5", by=0),
        lambda: at_most("latency.p95", ratio=0),
        lambda: at_most("latency.p95", 2.0, ratio=1.1),
        lambda: at_most("latency.p0", ratio=1.1),
        lambda: at_most("cost", ratio=1.1, cap=0),
        lambda: better("", by=0.1),
        lambda: better(" recall@5", by=0.1),
    ],
)
def test_a_gate_that_could_not_decide_is_refused(make) -> None:
    """What could never hold, or means two things, is an error at construction."""
    with pytest.raises(ExperimentError):
        make()


@pytest.mark.parametrize(
    ("name", "base", "quantile"),
    [
        ("latency.p95", "latency", 0.95),
        ("latency.p99.9", "latency", 0.999),
        ("recall@5", "recall@5", None),
        ("first_chunk.p50", "first_chunk", 0.5),
        ("team.precision@5", "team.precision@5", None),
    ],
)
def test_a_quantile_is_part_of_the_name(name: str, base: str, quantile: float | None) -> None:
    """`.p95` names the quantile; other dots belong to the metric."""
    gate = at_most(name, 1.0)
    assert gate.base == base
    assert gate.quantile == (quantile if quantile is None else pytest.approx(quantile))


def test_gates_are_values() -> None:
    """Equal gates are equal, and none can be changed."""
    assert better("recall@5", by=0.02, critical=True) == better("recall@5", by=0.02, critical=True)
    with pytest.raises(AttributeError):
        better("recall@5", by=0.02).margin = 0.5  # type: ignore[misc]
