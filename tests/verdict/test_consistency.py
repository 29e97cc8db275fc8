"""No verdict says what its own numbers speak against."""

import pytest

from shadoweval.protocols import Metric
from shadoweval.records import GateResult, Verdict
from shadoweval.verdict.consistency import consistent, contradiction

METRICS = [
    Metric(name="recall@5"),
    Metric(name="errors", higher_is_better=False, failure_scores=1.0),
    Metric(name="cost", higher_is_better=False, high=None, like_with_like=True, failure_scores=None),
    Metric(name="latency", higher_is_better=False, high=None, like_with_like=True, failure_scores=30.0),
]
SHAPES = {
    "better": {"metric": "recall@5", "kind": "better", "margin": 0.02},
    "no worse": {"metric": "recall@5", "kind": "no_worse", "margin": 0.02},
    "errors": {"metric": "errors", "kind": "no_worse", "margin": 0.02},
    "ratio": {"metric": "cost", "kind": "at_most", "margin": 1.1, "ratio": True},
    "quantile": {"metric": "latency.p95", "kind": "at_most", "margin": 1.1, "ratio": True},
    "at most": {"metric": "errors", "kind": "at_most", "margin": 0.1},
    "at least": {"metric": "recall@5", "kind": "at_least", "margin": 0.8},
}


def result(shape, state, arms, bounds=(None, None), **changes):
    (incumbent, candidate), (lower, upper) = arms, bounds
    return GateResult(
        sentence=shape,
        **SHAPES[shape],
        **{"state": state, "incumbent": incumbent, "candidate": candidate, "lower": lower, "upper": upper, **changes},
    )


def verdict(decision, *gates):
    why = {"promote": "proven", "rollback": "broken", "hold": "inconclusive"}[decision]
    return Verdict(experiment="x", candidate="new", decision=decision, why=why, reasons=("as it was",), gates=gates)


def said(gate):
    higher = next(metric.higher_is_better for metric in METRICS if gate.metric.startswith(metric.name))
    return contradiction(gate, higher_is_better=higher)


@pytest.mark.parametrize(
    ("shape", "state", "arms", "bounds"),
    [
        ("better", "holds", (0.8, 0.81), (0.021, 0.3)),
        ("better", "holds", (0.8, 0.9), (-0.1, 0.01)),
        ("better", "broken", (0.8, 0.81), (-0.1, -0.01)),
        ("better", "broken", (0.8, 0.7), (0.01, 0.1)),
        ("no worse", "holds", (0.8, 0.7), (-0.01, 0.01)),
        ("no worse", "holds", (0.8, 0.8), (-0.2, -0.1)),
        ("no worse", "broken", (0.8, 0.79), (-0.1, -0.03)),
        ("errors", "holds", (0.0, 0.75), (-0.018, 0.018)),
        ("errors", "broken", (0.5, 0.4), (-0.1, -0.03)),
        ("ratio", "holds", (0.01, 0.09), (None, 17.9)),
        ("ratio", "holds", (0.01, 0.01), (1.2, None)),
        ("ratio", "broken", (0.01, 0.01), (None, None)),
        ("quantile", "holds", (1.0, 2.0), (None, 1.05)),
        ("quantile", "holds", (1.0, 1.0), (1.2, 1.3)),
        ("quantile", "broken", (1.0, 1.0), (1.15, None)),
        ("at most", "holds", (None, 0.2), (0.0, 0.05)),
        ("at most", "broken", (None, 0.05), (0.11, 0.2)),
        ("at least", "holds", (None, 0.7), (0.81, 0.9)),
        ("at least", "broken", (None, 0.9), (0.5, 0.7)),
    ],
)
def test_a_state_against_the_numbers_is_a_contradiction(shape, state, arms, bounds):
    """The point estimate or the whole interval lies on the other side of the margin; the sentence has the numbers."""
    sentence = said(result(shape, state, arms, bounds))
    assert "its own numbers speak against it" in sentence
    assert f"{arms[1]:.4g}" in sentence


@pytest.mark.parametrize(
    ("shape", "state", "arms", "bounds"),
    [
        ("better", "holds", (0.8, 0.9), (0.05, 0.15)),
        ("better", "broken", (0.8, 0.7), (-0.15, -0.05)),
        ("no worse", "holds", (0.8, 0.79), (-0.019, 0.01)),
        ("no worse", "broken", (0.8, 0.7), (-0.2, -0.05)),
        ("no worse", "open", (0.8, 0.1), (-0.9, 0.1)),
        ("errors", "holds", (0.05, 0.01), (0.0, 0.1)),
        ("errors", "broken", (0.0, 0.1), (-0.2, -0.05)),
        ("ratio", "holds", (0.01, 0.0105), (None, 1.3)),
        ("ratio", "holds", (0.0, 0.0), (None, None)),
        ("quantile", "holds", (1.0, 1.12), (None, 1.09)),
        ("at most", "holds", (None, 0.02), (0.0, 0.05)),
        ("at least", "holds", (None, 0.9), (0.85, 1.0)),
        ("at least", "broken", (None, 0.7), (0.6, 0.75)),
    ],
)
def test_numbers_that_agree_pass(shape, state, arms, bounds):
    """Also an open gate whatever it shows, a ratio to nothing, and a quantile as exact as its sample."""
    assert said(result(shape, state, arms, bounds)) == ""


def test_a_gate_that_a_part_of_the_traffic_breaks_says_so_and_passes():
    """Users who came back are worse off, and all pairs together look well."""
    assert said(result("errors", "broken", (0.0, 0.01), reason="among users who came back")) == ""


def test_a_promotion_becomes_a_hold_that_names_the_numbers():
    """One gate of two contradicts itself: the verdict holds, and only that gate is in error."""
    wrong, right = result("errors", "holds", (0.0, 0.75)), result("at least", "holds", (None, 0.9))
    after = consistent(verdict("promote", wrong, right), METRICS)
    assert (after.decision, after.why) == ("hold", "error")
    assert [gate.state for gate in after.gates] == ["error", "holds"]
    assert "0 -> 0.75 is -0.75" in str(after)


def test_a_rollback_that_rests_on_a_contradiction_holds():
    """Nobody rolls back on numbers that disagree."""
    after = consistent(verdict("rollback", result("errors", "broken", (0.1, 0.05))), METRICS)
    assert (after.decision, after.why) == ("hold", "error")


def test_a_rollback_stands_where_another_gate_is_broken():
    """The other gate's contradiction is marked."""
    broken, wrong = result("no worse", "broken", (0.8, 0.5)), result("errors", "holds", (0.0, 0.75))
    after = consistent(verdict("rollback", broken, wrong), METRICS)
    assert after.rolls_back
    assert [gate.state for gate in after.gates] == ["broken", "error"]


def test_a_dry_run_decides_nothing_by_contradicting_itself():
    """It is marked, and the verdict stands."""
    dry = result("errors", "holds", (0.0, 0.75), dry_run=True)
    after = consistent(verdict("promote", dry, result("at least", "holds", (None, 0.9))), METRICS)
    assert after.promotes
    assert after.gates[0].state == "error"


def test_a_verdict_in_error_keeps_its_reasons():
    """What was wrong before is said first."""
    before = Verdict(
        experiment="x",
        candidate="new",
        decision="hold",
        why="error",
        reasons=("first",),
        gates=(result("errors", "holds", (0.0, 0.75)),),
    )
    assert consistent(before, METRICS).reasons[0] == "first"
    assert len(consistent(before, METRICS).reasons) == 2


def test_what_agrees_is_untouched():
    """The same object comes back."""
    fine = verdict("promote", result("errors", "holds", (0.0, 0.0), (-0.01, 0.01)))
    assert consistent(fine, METRICS) is fine
