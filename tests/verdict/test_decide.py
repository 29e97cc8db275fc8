"""The lattice: rollback > hold (error) > hold (inconclusive) > promote."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shadoweval.evidence.views import View
from shadoweval.protocols import Metric
from shadoweval.verdict.broken import needed_to_break
from shadoweval.verdict.claims import claim_of, contrast_of
from shadoweval.verdict.decide import conclude
from shadoweval.verdict.gates import no_worse
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.weighing import GateEvidence, weigh

METRICS = [Metric(name=name) for name in ("recall@5", "quality", "success")]
ENOUGH = math.log(1 / 0.05) + 1e-9
PROVEN, BROKEN, OPEN = (ENOUGH, -5.0), (-5.0, 12.0), (1.0, 0.5)


def gate(metric: str, evidence: tuple[float, float], **settings) -> GateEvidence:
    contrasts = {m.name: contrast_of(m) for m in METRICS}
    critical, dry_run = settings.pop("critical", False), settings.pop("dry_run", False)
    claim = claim_of(no_worse(metric, by=0.02, critical=critical, dry_run=dry_run), METRICS, contrasts=contrasts)
    holds, breaks = evidence
    return GateEvidence(
        claim=claim,
        **{"n": 500, "holds": holds, "views": (View("", 0.0, breaks),), "notice": None, "tolerable": True, **settings},
    )


@pytest.mark.parametrize(
    ("first", "second", "problems", "barriers", "expected"),
    [
        (PROVEN, PROVEN, {}, (), ("promote", "proven")),
        (PROVEN, OPEN, {}, (), ("hold", "inconclusive")),
        (PROVEN, PROVEN, {}, ("3 of at least 24 hours",), ("hold", "inconclusive")),
        (PROVEN, PROVEN, {"": "no coverage"}, (), ("hold", "error")),
        (PROVEN, PROVEN, {"quality": "scorer raised"}, (), ("hold", "error")),
        (PROVEN, OPEN, {"": "no coverage"}, (), ("hold", "error")),
        (PROVEN, BROKEN, {}, (), ("rollback", "broken")),
        (PROVEN, BROKEN, {"": "no coverage"}, ("too soon",), ("rollback", "broken")),
        (OPEN, OPEN, {}, (), ("hold", "inconclusive")),
    ],
)
def test_the_strongest_finding_decides(first, second, problems, barriers, expected) -> None:
    """Broken beats unsound beats undecided beats proven, whatever else is there."""
    gates = [gate("recall@5", first), gate("quality", second)]
    outcome = conclude(gates, Rules(), problems=problems, barriers=barriers)
    assert (outcome.decision, outcome.why) == expected


def test_one_unproven_gate_is_enough_to_hold() -> None:
    """Nine proven gates and one open one do not promote: evidence is never averaged towards promotion."""
    gates = [gate("recall@5", (50.0, -50.0)) for _ in range(9)] + [gate("quality", OPEN)]
    assert conclude(gates, Rules(), problems={}).decision == "hold"


def test_rollback_evidence_is_averaged_over_the_guards() -> None:
    """With J guards the mean of their e-values must reach 1 / alpha: the broken one needs J times as much alone."""
    for guards, needed in ((1, 20), (4, 80)):
        for factor, rolls_back in ((0.99, False), (1.01, True)):
            broken = gate("recall@5", (0.0, math.log(factor * needed)))
            others = [gate("quality", (0.0, -math.inf)) for _ in range(guards - 1)]
            decision = conclude([broken, *others], Rules(), problems={}).decision
            assert (decision == "rollback") == rolls_back


def test_critical_guards_have_half_of_alpha_whatever_the_others_show() -> None:
    """Beside any number of guards one critical guard breaks at 2 / alpha, and two share that; alone it has all."""
    others = [gate("quality", (0.0, -math.inf)) for _ in range(50)]
    quiet = gate("recall@5", (0.0, -math.inf), critical=True)
    for beside, needed in ((others, 40), ([*others, quiet], 80), ([], 20), ([quiet], 40)):
        for factor, rolls_back in ((0.99, False), (1.01, True)):
            critical = gate("recall@5", (0.0, math.log(factor * needed)), critical=True)
            outcome = conclude([*beside, critical], Rules(), problems={})
            assert (outcome.decision == "rollback") is rolls_back
            assert needed_to_break([*beside, critical], len(beside), Rules()) == pytest.approx(math.log(needed))


def test_candidates_share_the_alpha_of_a_rollback() -> None:
    """Five candidates: each is rolled back by five times the evidence."""
    for factor, rolls_back in ((0.99, False), (1.01, True)):
        broken = gate("recall@5", (0.0, math.log(factor * 100)))
        assert (conclude([broken], Rules(candidates=5), problems={}).decision == "rollback") is rolls_back


def test_a_dry_run_neither_breaks_nor_holds_back() -> None:
    """Its state is shown, the decision is made without it."""
    outcome = conclude([gate("recall@5", PROVEN), gate("quality", BROKEN, dry_run=True)], Rules(), problems={})
    assert (outcome.decision, outcome.states) == ("promote", ("holds", "broken"))


@pytest.mark.parametrize(
    ("settings", "rules", "reason"),
    [
        ({"n": 199}, Rules(), "199 of at least 200 units"),
        ({"tolerable": False}, Rules(), "the missing ones could tip it"),
        ({}, Rules(candidates=2), ""),
    ],
)
def test_proof_is_not_enough_without(settings, rules, reason) -> None:
    """Too few units, missing pairs that could tip it, or a second candidate's share of alpha: open, with the reason."""
    outcome = conclude([gate("recall@5", PROVEN, **settings)], rules, problems={})
    assert (outcome.decision, outcome.states) == ("hold", ("open",))
    assert reason in outcome.gate_reasons[0]


def test_missing_pairs_could_tip_a_narrow_proof() -> None:
    """With 3 % of the pairs missing a proof stands when the lost ones would have to be terrible, else not."""
    rng = np.random.default_rng(0)
    for mean, n, stands in ((0.0, 40_000, True), (-0.012, 60_000, False)):
        values = np.clip(rng.normal(mean, 0.1, n), -1, 1)
        claim = claim_of(no_worse("recall@5", by=0.02), METRICS, contrasts={m.name: contrast_of(m) for m in METRICS})
        claim.holds.mean.extend(values)
        weighed = weigh(claim, rules=Rules(), missing=0.03)
        assert weighed.holds > ENOUGH
        assert weighed.tolerable == stands
        assert weigh(claim, rules=Rules(), missing=0.0).tolerable


def test_a_notice_names_what_it_can_and_guesses_the_rest() -> None:
    """Enough evidence on one guard names it; evidence that only suffices together names the likeliest."""
    named = conclude([gate("recall@5", OPEN, notice=9.0), gate("quality", OPEN, notice=-3.0)], Rules(), problems={})
    assert named.notices == ("recall@5 is worse than the incumbent's",)
    # Their mean reaches 20, but neither of the two large ones does together with the small one.
    spread = [gate(metric.name, OPEN, notice=math.log(e)) for metric, e in zip(METRICS, (31, 30, 0.5), strict=True)]
    (guess,) = conclude(spread, Rules(), problems={}).notices
    assert guess == "Something is worse than the incumbent's, most likely recall@5"
    assert conclude([gate("recall@5", OPEN, notice=1.0)], Rules(), problems={}).notices == ()
