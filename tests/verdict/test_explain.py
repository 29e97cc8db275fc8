"""An explanation names numbers, formula and source behind each gate; an open gate says how far off it is."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shadoweval.records import Coverage
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.explain import explain, explain_gate
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.rules import Rules
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
    return assess(trial, experiment="support", candidate="rerank", coverage=coverage, now=now).verdict


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
    assert "no reason to stop" in texts[5]
    assert all(text in explain(verdict) for text in texts)


def test_a_noise_floor_is_said_only_where_it_was_measured(verdict_of, world) -> None:
    """Re-runs that differed have one; of those that never did the bound would tell how many they were, and no more."""
    columns = world(2_000, seed=4)
    recall = columns.scores["recall@5"]
    alike = replace(columns, scores={**columns.scores, "recall@5": replace(recall, noise=recall.incumbent)})
    gate = no_worse("recall@5", by=0.05)

    measured, unmeasured = (explain_gate(verdict_of(each, gate).gates[0]) for each in (columns, alike))

    assert "two runs of the incumbent may differ by 0.0" in measured
    assert "may differ" not in unmeasured


@pytest.fixture
def verdict_of(metrics, full, now):
    def make(columns, *gates, **rules):
        trial = Trial(metrics, gates)
        trial.add(columns)
        said = assess(trial, experiment="e", candidate="c", coverage=full(columns.n), now=now, rules=Rules(**rules))
        return said.verdict

    return make


def test_the_reason_names_pairs_and_time(verdict_of, world) -> None:
    """One pair a minute: the pairs that are missing, and as many minutes, in hours."""
    verdict = verdict_of(world(300, seed=8), no_worse("recall@5", by=0.03))
    (reason,) = verdict.reasons
    found = re.fullmatch(
        r"not proven yet: recall@5 is no worse by 0.03 \(about ([\d,]+) more pairs, [\d,]+ to [\d,]+, "
        r"some ([\d,]+) hours at the traffic so far\)",
        reason,
    )
    assert found, reason
    pairs, hours = (int(number.replace(",", "")) for number in found.groups())
    assert hours == pytest.approx(pairs / 60, abs=0.51)


def test_most_gates_are_decided_within_the_range_that_was_foretold(verdict_of, world) -> None:
    """Ranges of 80 %: of streams that go on at least 60 % are decided by the late end, seldom before the early one."""
    late, early, told = 0, 0, 0
    for seed in range(30):
        gate = no_worse("recall@5", by=0.03)
        needed = verdict_of(world(300, seed=seed), gate).gates[0].pairs_needed
        if needed is None:
            continue
        told += 1
        early += verdict_of(world(300 + needed[1], seed=seed + 1000), gate).gates[0].state == "holds"
        late += verdict_of(world(300 + needed[2], seed=seed + 1000), gate).gates[0].state == "holds"
    assert told > 10
    assert late >= 0.6 * told
    assert early < late


def test_the_floor_of_units_is_part_of_the_wait(verdict_of, world) -> None:
    """A gain so large that it is proven at once still waits for the least number of units."""
    verdict = verdict_of(world(100, seed=1, recall=0.2), no_worse("recall@5", by=0.3), min_units=1_000)
    assert verdict.gates[0].pairs_needed == (900, 900, 900)
    assert "about 900 more pairs" in verdict.reasons[0]


def test_no_end_in_sight_is_said(verdict_of, world) -> None:
    """Where equals would have to be proven better, nothing is foretold."""
    verdict = verdict_of(world(3_000, seed=2), better("recall@5", by=0.0))
    assert verdict.reasons == ("not proven yet: recall@5 is better by 0 (no end is in sight yet)",)


def test_equal_answers_are_proven_in_a_foreseeable_time(verdict_of, world) -> None:
    """Arms that never differ have no variance, and still a known end."""
    columns = world(100, seed=1)
    same = replace(columns.scores["recall@5"], candidate=columns.scores["recall@5"].incumbent)
    columns = replace(columns, scores={**columns.scores, "recall@5": same})
    needed = verdict_of(columns, no_worse("recall@5", by=0.02), min_units=1).gates[0].pairs_needed
    assert needed is not None
    assert 50 <= needed[0] <= 400
