"""An explanation names the numbers, the formula and the source behind each gate."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from shadoweval.records import Coverage
from shadoweval.verdict.explain import explain, explain_gate
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.judge import judge_trial
from shadoweval.verdict.trial import Trial


@pytest.fixture
def verdict(metrics, world):
    gates = (
        no_worse("recall@5", by=0.05),
        better("recall@5", by=0.1, dry_run=True),
        at_most("latency.p95", ratio=1.5, critical=True),
        at_most("cost", ratio=1.5, cap=4.0),
        at_least("recall@5", 0.5),
        no_worse("errors", by=0.0001),
    )
    trial = Trial(metrics, gates)
    trial.add(world(2_000, seed=4))
    coverage = Coverage(eligible=2_000, mirrored=2_000, paired=2_000)
    now = datetime(2027, 1, 1, tzinfo=UTC)
    return judge_trial(trial, experiment="support", candidate="rerank", coverage=coverage, now=now).verdict


def test_each_gate_is_explained_by_the_numbers_that_decided_it(verdict) -> None:
    """Claim, state, units, both evidences with what they need, formula and source stand in each paragraph."""
    texts = [explain_gate(gate) for gate in verdict.gates]
    for gate, text in zip(verdict.gates, texts, strict=True):
        assert text.startswith(gate.sentence)
        assert f"rests on {gate.n} units" in text
        assert "evidence that it holds: e = " in text
        assert "evidence that it is broken: e = " in text
        assert f"formula: {gate.method}" in text
        assert "arXiv 2010.09686" in text
        said = "enough" if gate.details["log e holds"] >= gate.details["needed to hold"] else "not enough"
        assert re.search(rf"it holds: .*: {said}$", text, re.MULTILINE)
    assert "needs 20" in texts[0]
    assert "a dry run, decides nothing" in texts[1]
    assert "critical" in texts[2]
    assert "larger than the cap and count as it" in texts[3]
    assert "more pairs until it is decided" in texts[5]
    assert all(text in explain(verdict) for text in texts)
