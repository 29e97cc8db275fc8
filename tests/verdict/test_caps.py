"""Amounts without a range: what a cap cuts off, and what is then said."""

import numpy as np
import pytest

from shadoweval.evidence.looks import ALWAYS
from shadoweval.evidence.variables import Scores
from shadoweval.protocols import Metric
from shadoweval.verdict.caps import cap_notices, doubt_of, rollback_stands
from shadoweval.verdict.claims import claim_of, contrast_of
from shadoweval.verdict.gates import at_most

COST = Metric(name="cost", higher_is_better=False, high=None, failure_scores=None)


def judged(gate, incumbent, candidate):
    """The claim after these pairs, each a unit, and both means."""
    claim = claim_of(gate, [COST], contrasts={"cost": contrast_of(COST)})
    known = np.ones(len(incumbent), dtype=bool)
    scores = Scores(incumbent=incumbent, candidate=candidate, incumbent_scored=known, candidate_scored=known)
    for variable in claim.variables:
        variable.add_independent(scores)
    if claim.ratio is not None:
        claim.ratio.extend(incumbent, candidate)
    return claim, (float(incumbent.mean()), float(candidate.mean()))


def amounts(n=2_000, *, times=1.0, giant=None, every=250):
    """Log-normal amounts; every so often one of another size."""
    rng = np.random.default_rng(n + every)
    drawn = times * np.exp(rng.normal(0, 0.4, n))
    if giant is not None:
        drawn[every - 1 :: every] = giant
    return drawn


def test_a_giant_beyond_a_learned_cap_is_named_with_the_cap_to_declare() -> None:
    """Ratio and level; nothing where a cap was declared."""
    for gate in (at_most("cost", ratio=1.5), at_most("cost", 5.0)):
        claim, means = judged(gate, amounts(), amounts(giant=777.0))
        assert "cap=780)" in doubt_of(claim, means, proven=False)
    claim, means = judged(at_most("cost", ratio=9.0, cap=100.0), amounts(), amounts(giant=777.0))
    assert doubt_of(claim, means, proven=True) == ""
    assert "8 values of the candidate and 0 of the incumbent" in next(cap_notices([claim]))


def test_a_ratio_over_all_pairs_contradicts_a_proof() -> None:
    """Under a declared cap that is too low; it is no matter while nothing is proven."""
    claim, means = judged(at_most("cost", ratio=1.5, cap=10.0), amounts(), amounts(times=0.8, giant=777.0))
    assert "contradicts the proof" in doubt_of(claim, means, proven=True)
    assert doubt_of(claim, means, proven=False) == ""


@pytest.mark.parametrize(("giant", "stands"), [(None, True), (5_000.0, False)])
def test_cutting_the_incumbents_giants_proves_nothing_against_the_candidate(giant, stands) -> None:
    """Twice as dear in each ordinary query, and far cheaper on average, for the incumbent's giants."""
    claim, _ = judged(at_most("cost", ratio=1.1), amounts(giant=giant, every=1_900), amounts(times=2.0))
    assert ALWAYS.log_e(claim.breaks) > 3
    assert rollback_stands(claim, alpha=0.05) is stands


def test_tame_amounts_leave_no_doubt() -> None:
    """Equal arms, no cap declared."""
    claim, means = judged(at_most("cost", ratio=1.5), amounts(), amounts(every=251))
    assert doubt_of(claim, means, proven=True) == ""
    assert list(cap_notices([claim])) == []
