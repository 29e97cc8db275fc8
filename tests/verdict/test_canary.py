"""The second opinion says what Kayenta's judge would say of the same pairs, with its warnings."""

from __future__ import annotations

import pytest

from shadoweval.verdict.canary import second_opinion
from shadoweval.verdict.gates import at_least, at_most, no_worse
from shadoweval.verdict.kayenta import KayentaMetric, classify


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
