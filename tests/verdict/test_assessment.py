"""A verdict is the same however its pairs are fed, and errs no more often than it says."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import numpy as np
import pytest

from shadoweval.errors import ExperimentError
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.evidence.small_samples import mean_bound, mean_log_e_once
from shadoweval.protocols import Metric
from shadoweval.records import Coverage
from shadoweval.verdict.assessment import Assessment, assess
from shadoweval.verdict.columns import Columns, ScoreColumns, columns_of
from shadoweval.verdict.decide import conclude
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.weighing import weigh

NOW = datetime(2027, 1, 1, tzinfo=UTC)
GATES = (
    no_worse("recall@5", by=0.02),
    no_worse("errors", by=0.01),
    at_most("latency.p95", ratio=1.2),
    at_most("cost", ratio=1.2),
    better("recall@5", by=0.0, dry_run=True),
    at_least("recall@5", 0.5),
    at_most("latency.p99", 60.0),
    no_worse("latency.p50", by=0.2),
)


def said(trial: Trial, rules: Rules | None = None) -> Assessment:
    coverage = Coverage(eligible=trial.pairs, mirrored=trial.pairs, paired=trial.pairs)
    return assess(trial, experiment="e", candidate="c", coverage=coverage, now=NOW, rules=rules)


def attributes(n: int) -> dict[str, AttributeColumn]:
    return {
        "plan": AttributeColumn(codes=np.arange(n) % 2, values=("free", "pro")),
        "language": AttributeColumn(codes=np.arange(n) % 3 - 1, values=("de", "en")),
    }


def numbers(assessment: Assessment) -> list[float]:
    """All numbers of the gates and slices."""
    gates = [x for g in assessment.verdict.gates for x in (*g.details.values(), g.lower or 0.0, g.upper or 0.0, g.n)]
    slices = sorted((s.slice, s.metric, s.n, s.difference, s.lower or 0.0) for s in assessment.slices)
    return [*gates, *(x for row in slices for x in row[2:])]


@pytest.mark.parametrize("session", [1, 4])
def test_a_verdict_does_not_depend_on_how_pairs_are_fed(metrics, world, rows, session) -> None:
    """One by one, in uneven batches, all at once, as records, and resumed from its state in between: the same."""
    whole = world(300, recall=-0.01, session=session, attributes=attributes(300))
    records = rows(whole)
    trials = {name: Trial(metrics, GATES) for name in ("once", "singly", "uneven", "resumed")}
    trials["once"].add_pairs(records)
    for pair in records:
        trials["singly"].add_pairs([pair])
    for start, stop in ((0, 1), (1, 130), (130, 133), (133, 300)):
        trials["uneven"].add(columns_of(records[start:stop], metrics))
        trials["resumed"].add(columns_of(records[start:stop], metrics))
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(trials["resumed"].to_state()))
        trials["resumed"] = Trial(metrics, GATES)
        trials["resumed"].restore(state)
    judged = {name: said(trial) for name, trial in trials.items()}
    for name, other in judged.items():
        assert numbers(other) == pytest.approx(numbers(judged["once"]), abs=1e-9), name
        assert other.verdict.reasons == judged["once"].verdict.reasons
        for one, reference in zip(other.summaries, judged["once"].summaries, strict=True):
            assert (one.metric, one.scored, one.unscored) == (reference.metric, reference.scored, reference.unscored)
            assert (one.incumbent, one.difference, one.distribution[1]) == (
                pytest.approx(reference.incumbent),
                pytest.approx(reference.difference),
                pytest.approx(reference.distribution[1]),
            )
    assert judged["once"].verdict.gates[0].n == (300 if session == 1 else 75 - 8)


def test_columns_and_records_are_the_same_evidence(metrics, world, rows) -> None:
    """Arrays given directly, and the records they stand for, make the same numbers."""
    whole = world(500, attributes=attributes(500))
    by_columns, by_records = Trial(metrics, GATES), Trial(metrics, GATES)
    by_columns.add(whole)
    by_records.add_pairs(rows(whole))
    assert numbers(said(by_columns)) == pytest.approx(numbers(said(by_records)), abs=1e-9)


def test_a_state_answers_only_its_own_question(metrics) -> None:
    """Evidence gathered for one set of gates is refused by another."""
    state = Trial(metrics, GATES).to_state()
    with pytest.raises(ExperimentError, match="Start anew"):
        Trial(metrics, GATES[:2]).restore(state)


def test_an_equal_candidate_is_promoted(metrics, world) -> None:
    """A/A: two draws of the same pipeline are promoted once there are enough pairs."""
    trial = Trial(metrics, GATES)
    trial.add(world(9_000, seed=1))
    assessment = said(trial)
    assert assessment.verdict.promotes, assessment.verdict
    recall = assessment.verdict.gates[0]
    assert recall.lower is not None
    assert recall.lower > -0.02
    assert recall.share_of_evidence == 1.0


@pytest.mark.parametrize(
    ("change", "metric"),
    [({"recall": -0.05}, "recall@5"), ({"errors": 0.03}, "errors"), ({"latency": 1.6}, "latency.p95")],
)
def test_a_material_regression_is_rolled_back_and_named(metrics, world, change, metric) -> None:
    """A loss beyond its margin rolls back, names the gate, and prints a regression notice."""
    trial = Trial(metrics, GATES[:4])
    trial.add(world(4_000, seed=2, **change))
    verdict = said(trial).verdict
    assert verdict.rolls_back, verdict
    assert [gate.metric for gate in verdict.gates if gate.state == "broken"] == [metric]
    assert metric in verdict.reasons[0]


def test_a_regression_within_its_margin_is_a_notice(metrics, world) -> None:
    """A real loss that the margin allows is printed beside the verdict and does not roll back."""
    trial = Trial(metrics, (no_worse("recall@5", by=0.05),))
    trial.add(world(9_000, seed=3, recall=-0.02))
    verdict = said(trial).verdict
    assert verdict.promotes, verdict
    assert verdict.notices == ("recall@5 is worse than the incumbent's",)


def test_a_gain_below_what_was_asked_is_said_and_held(metrics, world) -> None:
    """`better` by 0.10 with a true gain of 0.03: proven to gain less, so neither promoted nor rolled back."""
    trial = Trial(metrics, (better("recall@5", by=0.10),))
    trial.add(world(5_000, seed=4, recall=0.03))
    verdict = said(trial).verdict
    assert (verdict.decision, verdict.why) == ("hold", "inconclusive")
    assert verdict.gates[0].reason == "proven to gain less than 0.1"


def decided(trial: Trial, rules: Rules | None = None) -> str:
    """The decision alone, without the numbers for people."""
    rules = rules or Rules()
    counted = trial.closed() if rules.once else trial
    weighed = [weigh(claim, rules=rules, missing=0.0) for claim in counted.claims]
    return conclude(weighed, rules, problems={}).decision


def first_decisions(seed: int, gates, *, loss: float, looks: int, each: int) -> dict[str, int]:
    """After how many pairs each decision was first seen, looking after every `each`; the true loss is exact."""
    rng = np.random.default_rng(seed)
    trial = Trial((Metric(name="recall@5"), Metric(name="errors", higher_is_better=False)), gates)
    first: dict[str, int] = {}
    for look in range(looks):
        chance = 0.5 + 0.4 * rng.random(each)
        known, number = np.ones(each, dtype=bool), np.arange(each) + look * each
        errs = (rng.random(each) < 0.02).astype(float)
        trial.add(
            Columns(
                asked_at=1.7e9 + number,
                key=number.astype(np.uint64),
                cluster=np.zeros(each, dtype=np.uint64),
                alone=known,
                scores={
                    "recall@5": ScoreColumns(
                        incumbent=rng.binomial(5, chance) / 5,
                        candidate=rng.binomial(5, chance - loss) / 5,
                        incumbent_scored=known,
                        candidate_scored=known,
                    ),
                    "errors": ScoreColumns(
                        incumbent=errs, candidate=errs, incumbent_scored=known, candidate_scored=known
                    ),
                },
            )
        )
        first.setdefault(decided(trial), (look + 1) * each)
    return first


def test_at_the_margin_promotions_and_rollbacks_are_rare() -> None:
    """Exactly at the margin both errors stay below alpha, although someone looks every 100 pairs."""
    seen = [
        first_decisions(seed, (no_worse("recall@5", by=0.04),), loss=0.04, looks=20, each=100) for seed in range(150)
    ]
    # Binomial(150, 0.05): more than 15 has probability 0.4 %.
    assert sum("promote" in first for first in seen) <= 15
    assert sum("rollback" in first for first in seen) <= 15


@pytest.mark.marathon
def test_at_the_margin_in_a_thousand_streams() -> None:
    """The same over 1000 streams of 5000 pairs, looked at every 50."""
    gates = (no_worse("recall@5", by=0.04), no_worse("errors", by=0.02))
    seen = [first_decisions(seed, gates, loss=0.04, looks=100, each=50) for seed in range(1_000)]
    # Binomial(1000, 0.05): more than 67 has probability 0.8 %.
    assert sum("promote" in first for first in seen) <= 67
    assert sum("rollback" in first for first in seen) <= 67


def test_equals_are_promoted_and_losers_rolled_back_in_time() -> None:
    """Of equal candidates nearly all are promoted within 4000 pairs, of those 0.05 worse all are rolled back."""
    gates = (no_worse("recall@5", by=0.02), no_worse("errors", by=0.01))
    equal = [first_decisions(seed, gates, loss=0.0, looks=20, each=200) for seed in range(30)]
    worse = [first_decisions(seed, gates, loss=0.06, looks=20, each=200) for seed in range(30)]
    assert sum("promote" in first for first in equal) >= 28
    assert sum("rollback" in first for first in equal) <= 4
    assert all("rollback" in first and "promote" not in first for first in worse)


def test_more_candidates_need_more_evidence(metrics, world) -> None:
    """With K candidates each needs K times the evidence; what is enough for one is not for a hundred."""
    trial = Trial(metrics, (no_worse("recall@5", by=0.02),))
    trial.add(world(2_300, seed=1))
    gate = said(trial).verdict.gates[0]
    assert gate.details["log e holds"] > gate.details["needed to hold"]
    many = said(trial, Rules(candidates=100)).verdict
    assert many.gates[0].details["needed to hold"] == pytest.approx(np.log(100 / 0.05))


@pytest.mark.parametrize("candidates", [1, 5])
@pytest.mark.parametrize("once", [False, True])
def test_the_bounds_that_are_shown_are_those_that_decide(metrics, world, once, candidates) -> None:
    """A mean's gate holds exactly when its shown bound clears the margin, and breaks only when the other fails it."""
    gates = (
        no_worse("recall@5", by=0.03, critical=True),
        no_worse("errors", by=0.02, critical=True),
        at_least("recall@5", 0.78),
    )
    seen = set()
    for seed in range(12):
        trial = Trial(metrics, gates)
        trial.add(world(900, seed=seed, recall=(-0.09, -0.03, 0.0)[seed % 3]))
        for gate in said(trial, Rules(once=once, candidates=candidates)).verdict.gates:
            limit = gate.margin if gate.kind == "at_least" else -gate.margin
            assert (gate.state == "holds") == (gate.lower > limit), gate
            assert gate.state != "broken" or gate.upper < limit, gate
            seen.add(gate.state)
    assert seen == {"holds", "open", "broken"}


def test_a_critical_gate_does_not_share_its_alpha() -> None:
    """Among nine good guards a regression is diluted; the same guard, critical, rolls back sooner."""
    good = [no_worse("errors", by=0.01 + n / 1000) for n in range(9)]
    first = {
        critical: first_decisions(
            3, (*good, no_worse("recall@5", by=0.02, critical=critical)), loss=0.06, looks=60, each=50
        )
        for critical in (True, False)
    }
    assert first[True]["rollback"] < first[False]["rollback"]


def test_a_dry_run_decides_nothing(metrics, world) -> None:
    """A broken gate in dry run is shown as broken and rolls nothing back."""
    trial = Trial(metrics, (no_worse("recall@5", by=0.02, dry_run=True), no_worse("errors", by=0.02)))
    trial.add(world(5_000, seed=5, recall=-0.1))
    verdict = said(trial).verdict
    assert verdict.gates[0].state == "broken"
    assert verdict.promotes, verdict


def test_a_decay_that_drowns_in_the_average_stops_the_promotion(metrics, world) -> None:
    """After 10,000 good pairs a loss of 0.05 in the last 2,000 is not in the average yet, and holds all the same."""
    trial = Trial(metrics, (no_worse("recall@5", by=0.02),))
    trial.add(world(10_000, seed=21, recall=0.01))
    assert said(trial).verdict.promotes
    later = world(2_000, seed=22, recall=-0.06)
    trial.add(replace(later, asked_at=later.asked_at + 10_000 * 60.0))
    verdict = said(trial).verdict
    assert verdict.gates[0].state == "holds", verdict
    assert (verdict.decision, verdict.why) == ("hold", "inconclusive")
    assert "recall@5 has turned worse lately" in verdict.reasons[0]


def test_sessions_are_one_unit_each(metrics, world) -> None:
    """Five pairs of a session count once; ignoring that would claim five times the evidence."""
    trial = Trial(metrics, (no_worse("recall@5", by=0.02),))
    trial.add(world(5_000, seed=1, session=5))
    gate = said(trial).verdict.gates[0]
    assert gate.n == 1_000 - 7  # the last sessions are not over


def test_in_a_closed_suite_open_sessions_count_as_they_stand(metrics, world) -> None:
    """Nothing more will come, so the last sessions are units too; judging leaves the trial as it was."""
    trial = Trial(metrics, (no_worse("recall@5", by=0.02),))
    columns = world(103, seed=1, session=5, attributes=attributes(103))
    trial.add(columns)
    closed = said(trial, Rules(once=True, min_units=10))
    scores = columns.scores["recall@5"]
    assert closed.verdict.gates[0].n == 21
    assert closed.verdict.gates[0].difference == pytest.approx(np.mean(scores.candidate - scores.incumbent))
    assert (
        sum(s.n for s in closed.slices if s.metric == "recall@5" and s.slice.startswith("plan=") and "&" not in s.slice)
        == 21
    )
    assert said(trial).verdict.gates[0].n == 21 - 7


def test_duplicates_are_one_unit(metrics, world, rows) -> None:
    """The same question asked a hundred times proves no more than asked once; the mean over all pairs has them all."""
    pairs = rows(world(300, seed=6))
    copies = [
        (msgspec.structs.replace(f, query_id=f"{f.query_id}-{n}", asked_at=pairs[-1][0].asked_at), s)
        for n in range(100)
        for f, s in pairs[:1]
    ]
    once, often = Trial(metrics, GATES), Trial(metrics, GATES)
    once.add_pairs(pairs)
    often.add_pairs([*pairs, *copies])
    assert often.pairs == 400
    first, second = (said(trial).verdict.gates[0] for trial in (once, often))
    assert second.details["log e holds"] == first.details["log e holds"]
    assert second.n == first.n
    score = pairs[0][1][0]
    gap = score.candidate.value - score.incumbent.value
    assert second.difference == pytest.approx((300 * first.difference + 100 * gap) / 400)
    shown = next(each for each in said(often).summaries if each.metric == GATES[0].base)
    assert shown.lower <= shown.difference <= shown.upper


def test_a_suite_of_cases_is_decided_by_one_look(metrics, world) -> None:
    """With a hundred cases one look finds losses that always-valid evidence would need more cases for."""
    found = {True: 0, False: 0}
    for seed in range(40):
        trial = Trial(metrics, (no_worse("recall@5", by=0.02),))
        trial.add(world(100, seed=seed, recall=-0.10))
        for once in found:
            found[once] += decided(trial, Rules(once=once, min_units=30)) == "rollback"
    assert found[True] >= found[False] + 8


def test_one_look_is_exact_for_few_cases(metrics, world) -> None:
    """The bounds of a single look are those of the test for samples of any size."""
    columns = world(120, seed=12)
    scores = columns.scores["recall@5"]
    trial = Trial(metrics, (no_worse("recall@5", by=0.02),))
    trial.add(columns)
    gate = said(trial, Rules(once=True)).verdict.gates[0]
    mean = HistBet.of(scores.candidate - scores.incumbent)
    assert (gate.lower, gate.upper) == (mean_bound(mean, 0.05, "lower"), mean_bound(mean, 0.05, "upper"))
    assert gate.details["log e holds"] == mean_log_e_once(mean, -0.02, "greater")


@pytest.mark.parametrize(
    "gate",
    [
        at_most("unknown", 1.0),
        no_worse("recall@5", by=1.0),
        better("recall@5", by=2.0),
        at_least("recall@5", 1.0),
        no_worse("cost", by=0.01),
        at_most("recall@5.p50", ratio=1.1),
    ],
)
def test_a_gate_that_these_metrics_cannot_decide_is_refused(metrics, gate) -> None:
    """An unknown metric, a margin outside the range, or no range at all is an error before the first pair."""
    with pytest.raises(ExperimentError):
        Trial(metrics, (gate,))


def test_two_metrics_of_one_name_are_refused(metrics) -> None:
    """A name means one metric."""
    with pytest.raises(ExperimentError, match="Two scorers make 'cost'"):
        Trial((*metrics, Metric(name="cost")), ())
