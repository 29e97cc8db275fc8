"""Less is better of some metrics: nothing that the verdict is made of may be right in the other direction only."""

from datetime import UTC, datetime, timedelta

import pytest

from shadoweval import at_least, at_most, better, no_worse
from shadoweval.errors import ArgumentError, ExperimentError
from shadoweval.evaluation.examples import Examples
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, Failure, PairScore, Scored, Unscored
from shadoweval.scoring import PairScorer, answer_quality, errors, latency, overlap, tool_success
from shadoweval.testing import make_pair
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.kayenta import by_kayenta
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

START = datetime(2026, 1, 1, tzinfo=UTC)
HARM = Metric(name="harm", higher_is_better=False)
CRASH = {"failure": Failure(kind="crash")}
PAIRS = 600


def pairs_of(score_of, *, metric=HARM, attributes=None):
    """Pairs of which `score_of(number)` gives the incumbent's and the candidate's score."""
    for number in range(PAIRS):
        incumbent, candidate = score_of(number)
        score = PairScore(
            metric=metric.name,
            query_id=f"q{number}",
            incumbent=Scored(incumbent),
            candidate=Scored(candidate),
            scorer_version="1",
        )
        facts = PairFacts(
            query_id=f"q{number}",
            key=f"k{number}",
            asked_at=START + timedelta(minutes=number),
            attributes=attributes(number) if attributes else {},
        )
        yield facts, [score]


def assessed(pairs, *gates, metric=HARM, kayenta=False):
    trial = Trial([metric], gates)
    trial.add_pairs(pairs)
    given = {
        "coverage": Coverage(eligible=PAIRS, mirrored=PAIRS, paired=PAIRS, distinct=PAIRS),
        "now": START + timedelta(days=2),
        "rules": Rules(min_hours=0),
    }
    assessment = assess(trial, experiment="e", candidate="new", **given)
    return by_kayenta(assessment, trial, **given) if kayenta else assessment


def more(number):
    return float(number % 10 < 3), float(number % 10 < 8)


def less(number):
    return float(number % 10 < 8), float(number % 10 < 3)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ({}, 0.0),
        ({"higher_is_better": False}, 1.0),
        ({"low": 1.0, "high": 5.0}, 1.0),
        ({"low": 1.0, "high": 5.0, "higher_is_better": False}, 5.0),
        ({"low": 0.0, "high": None}, 0.0),
        ({"low": None, "high": 0.0, "higher_is_better": False}, 0.0),
        ({"high": None, "higher_is_better": False, "failure_scores": None}, None),
        ({"high": None, "higher_is_better": False, "failure_scores": 30}, 30),
    ],
)
def test_a_failure_scores_the_worse_end_unless_said_otherwise(metric, expected):
    """In the metric's own direction."""
    assert Metric(name="m", **metric).failure_scores == expected


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        ({"high": None, "higher_is_better": False}, "lower is better.*failure_scores=30.0, or None"),
        ({"low": None}, "higher is better.*failure_scores=30.0, or None"),
        ({"higher_is_better": False, "failure_scores": 0.0}, "failures would count as the best"),
        ({"failure_scores": 1.0}, "failures would count as the best"),
        ({"failure_scores": -1.0}, "within the range"),
        ({"low": 1.0, "high": 5.0, "failure_scores": 0.0}, "within the range"),
    ],
)
def test_a_failure_that_would_count_as_good_is_refused(metric, says):
    """With what to write instead."""
    with pytest.raises(ArgumentError, match=f"Metric.failure_scores must be .*{says}"):
        Metric(name="m", **metric)


@pytest.mark.parametrize("metric", [HARM, Metric(name="good"), *(s.metrics[0] for s in (errors(), latency(), overlap(),
                                    answer_quality(), tool_success()))], ids=lambda metric: metric.name)  # fmt: skip
def test_a_failed_run_is_never_the_better_one(metric):
    """Of any metric of ours or of a user's, by its own scorer."""
    middle = 0.5
    scorer = PairScorer(metrics=(metric,), version="1", score_one=lambda _o, _p: {metric.name: Scored(middle)})
    (score,) = scorer.score(make_pair(shadow=CRASH))
    sign = 1 if metric.higher_is_better else -1
    assert isinstance(score.candidate, Scored)
    assert sign * score.candidate.value < sign * middle


def test_a_failure_has_no_overlap():
    """A scorer that is no PairScorer keeps to it too."""
    (score,) = overlap(5).score(make_pair(served={"hits": ["a"]}, rerun={"hits": ["a"]}, shadow=CRASH))  # fmt: skip
    assert score.candidate == Scored(0.0)


@pytest.mark.parametrize("gate", [better("harm", by=0.05), no_worse("harm", by=0.05), at_most("harm", 0.5),
                                  at_most("harm", ratio=1.5, cap=1.0)], ids=lambda gate: gate.sentence)  # fmt: skip
@pytest.mark.parametrize(("score_of", "decision"), [(more, "rollback"), (less, "promote")])
def test_every_gate_knows_that_less_is_better(gate, score_of, decision):
    """More of what is bad is rolled back, less is promoted."""
    assert assessed(pairs_of(score_of), gate).verdict.decision == decision


@pytest.mark.parametrize(("score_of", "decision"), [(more, "rollback"), (less, "promote")])
def test_kayenta_s_rule_knows_that_less_is_better(score_of, decision):
    """The other method for a verdict."""
    pairs = pairs_of(lambda n: tuple(value + n % 7 / 100 for value in score_of(n)))
    wide = Metric(name="harm", higher_is_better=False, high=2.0)
    verdict = assessed(pairs, no_worse("harm", by=0.05), metric=wide, kayenta=True).verdict
    assert verdict.decision == decision, verdict


@pytest.mark.parametrize(
    ("gate", "metric"),
    [
        (at_least("harm", 0.1), HARM),
        (at_most("good", 0.9), Metric(name="good")),
        (at_most("good", ratio=1.1), Metric(name="good")),
        (at_least("harm.p50", 0.1), HARM),
    ],
    ids=lambda each: each.name if isinstance(each, Metric) else each.sentence,
)
def test_a_bound_that_a_failing_candidate_would_keep_is_refused(gate, metric):
    """A run that fails scores the worse end, which is on the bound's right side."""
    with pytest.raises(ExperimentError, match="a candidate that always fails would pass"):
        Trial([metric], [gate])


def test_a_bound_on_that_side_is_right_where_failures_have_no_value():
    """A length has no better end."""
    length = Metric(name="length", high=None, failure_scores=None)
    trial = Trial([length], [at_most("length", 100.0, cap=1000.0)])
    assert trial.claims[0].gate.kind == "at_most"


@pytest.mark.parametrize(("score_of", "state"), [(more, "worse"), (less, "better")])
def test_summary_and_slices_know_that_less_is_better(score_of, state):
    """A difference is positive where the candidate is better."""
    by_part = lambda number: {"part": "ab"[number % 2]}  # noqa: E731 - one line of the table
    assessment = assessed(pairs_of(score_of, attributes=by_part), no_worse("harm", by=0.05))
    (summary,) = assessment.summaries
    assert (summary.difference > 0) == (state == "better")
    parts = [part for part in assessment.slices if part.slice.startswith("part")]
    assert parts
    assert {part.difference > 0 for part in parts} == {state == "better"}


def test_a_turn_for_the_worse_is_seen_where_less_is_better():
    """Promising at first, and lately harmful."""
    pairs = pairs_of(lambda n: (0.5, 0.3 if n < 400 else 0.9))
    verdict = assessed(pairs, no_worse("harm", by=0.2)).verdict
    assert "turned worse lately" in str(verdict)


def test_examples_show_the_largest_harm_as_the_largest_loss():
    """Worst first."""
    examples = Examples(HARM, each=3)
    for number in range(10):
        pair = make_pair(number)
        score = PairScore(metric="harm", query_id=pair.id, incumbent=Scored(0.4), candidate=Scored(number / 10),
                          scorer_version="1")  # fmt: skip
        examples.see(pair, [score])
    losses = [e.scores["harm"][1].value for e in examples.chosen() if e.why == "largest loss"]
    gains = [e.scores["harm"][1].value for e in examples.chosen() if e.why == "largest gain"]
    assert losses == [0.9, 0.8, 0.7]
    assert gains == [0.0, 0.1, 0.2]


def test_a_failure_without_a_value_is_missing_and_not_good():
    """None is neither end."""
    metric = Metric(name="m", higher_is_better=False, failure_scores=None)
    scorer = PairScorer(metrics=(metric,), version="1", score_one=lambda _o, _p: {"m": Scored(0.5)})
    (score,) = scorer.score(make_pair(shadow=CRASH))
    assert score.candidate == Unscored("failed: crash")
