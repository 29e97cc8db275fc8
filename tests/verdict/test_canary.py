"""The second opinion says what Kayenta's judge would say of the same pairs, with its warnings."""

from __future__ import annotations

import pytest

from shadoweval.records import Coverage
from shadoweval.verdict.canary import as_kayenta, second_opinion
from shadoweval.verdict.gates import at_least, at_most, no_worse
from shadoweval.verdict.judge import judge_trial
from shadoweval.verdict.kayenta import KayentaMetric, classify
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial


def test_equal_arms_pass_and_slow_ones_fail(metrics, world, rows) -> None:
    """The score follows the classification of each comparing gate; a critical failure is 0."""
    gates = (at_most("latency.p95", ratio=1.1, critical=True), at_most("cost", ratio=1.1), at_least("recall@5", 0.5))
    equal = second_opinion(rows(world(400, seed=1)), metrics, gates)
    slow = second_opinion(rows(world(400, seed=1, latency=1.6)), metrics, gates)
    assert (equal.outcome, equal.score) == ("pass", 100.0)
    assert (slow.outcome, slow.score) == ("fail", 0.0)
    assert slow.classifications[gates[0].sentence].label == "High"
    assert set(slow.classifications) == {gates[0].sentence, gates[1].sentence}


def test_it_warns_where_scores_take_few_values(metrics, world, rows) -> None:
    """On recall@5 and errors its answer should not be trusted, and it says so."""
    gates = (no_worse("recall@5", by=0.02), no_worse("errors", by=0.01))
    opinion = second_opinion(rows(world(400, seed=2, errors=0.04)), metrics, gates)
    assert any(w.startswith("errors:") and "takes only 2 values" in w for w in opinion.warnings)
    assert opinion.classifications["errors is no worse by 0.01"].label == "Pass"


def test_it_classifies_the_samples_it_was_given(metrics, world, rows) -> None:
    """The same samples through `classify` directly give the same label and ratio."""
    columns = world(300, seed=3, latency=1.2)
    opinion = second_opinion(rows(columns), metrics, (at_most("latency.p50", ratio=1.1),))
    scores = columns.scores["latency"]
    alone = classify(scores.incumbent.tolist(), scores.candidate.tolist(), KayentaMetric(direction="increase"))
    (found,) = opinion.classifications.values()
    assert found.ratio == pytest.approx(alone.ratio)
    assert found.reason == alone.reason


@pytest.fixture
def judged(metrics, full, now):
    """The verdicts of both judges over the same columns."""

    def make(columns, gates, *, coverage=None, **floors):
        trial, rules = Trial(metrics, gates), Rules(**floors)
        trial.add(columns)
        rest = {"coverage": coverage or full(columns.n), "now": now, "rules": rules}
        paired = judge_trial(trial, experiment="e", candidate="c", **rest)
        return paired.verdict, as_kayenta(paired, trial, **rest).verdict

    return make


COST = (at_most("cost", ratio=1.1), at_most("latency", ratio=1.1, critical=True))


def test_the_score_decides_and_says_that_it_proves_nothing(judged, world) -> None:
    """Equal arms pass long before anything is proven, slow ones fail; every verdict carries the warning."""
    paired, equal = judged(world(300, seed=1), COST)
    _paired, slow = judged(world(300, seed=1, latency=1.6), COST)
    assert (paired.decision, equal.decision, slow.decision) == ("hold", "promote", "rollback")
    assert equal.reasons == ("Kayenta's score is 100 of 100: pass",)
    assert "The paired evidence alone says hold" in equal.notices
    assert slow.reasons[1:] == ("broken: latency is at most 1.1 x incumbent",)
    for verdict in (equal, slow):
        assert any("corrects neither for looking again" in notice for notice in verdict.notices)
        assert all("NetflixACAJudge" in gate.method for gate in verdict.gates)


def test_unsound_evidence_and_floors_hold_under_this_judge_too(judged, world) -> None:
    """Losses on the way, too few units, too few hours or an unproven level: never promote."""
    lossy = Coverage(eligible=500, mirrored=500, failed={"corrupt": 200}, paired=300, distinct=300)
    _, unsound = judged(world(300, seed=1), COST, coverage=lossy)
    _, few = judged(world(300, seed=1), COST, min_units=400)
    _, short = judged(world(300, seed=1), COST, min_hours=24)
    _, level = judged(world(300, seed=1), (*COST, at_least("recall@5", 0.79)))
    assert (unsound.why, few.why, short.why, level.why) == ("error", *["inconclusive"] * 3)
    assert {v.decision for v in (unsound, few, short, level)} == {"hold"}
    assert "250 of at least 400 units" in few.reasons
    assert "not proven yet: recall@5 is at least 0.79" in level.reasons


def test_it_promotes_nothing_that_is_proven_broken(judged, world) -> None:
    """Errors that rise from 2 to 6 % pass there; the paired proof stands in the way, and says so."""
    gates = (no_worse("errors", by=0.01),)
    paired, canary = judged(world(2_000, seed=2, errors=0.04), gates)
    assert paired.rolls_back
    assert canary.gates[0].state == "holds"
    assert canary.decision == "hold"
    assert any("proven broken: errors" in reason for reason in canary.reasons)
