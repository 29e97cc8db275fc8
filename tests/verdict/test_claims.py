"""A gate's claim holds and breaks on its two sides."""

from __future__ import annotations

import numpy as np
import pytest

from shadoweval.protocols import Metric
from shadoweval.verdict.claims import claim_of, contrast_of
from shadoweval.verdict.columns import ScoreColumns
from shadoweval.verdict.gates import at_least, at_most, better, no_worse

LATENCY = Metric(name="latency", higher_is_better=False, high=None, like_with_like=True, failure_scores=30.0)
RECALL = Metric(name="recall@5")


def proven(claim, incumbent, candidate) -> tuple[float, float]:
    """Log evidence that the claim holds, and that it is broken, over pairs that are units by themselves."""
    known = np.ones(len(incumbent), dtype=bool)
    columns = ScoreColumns(incumbent=incumbent, candidate=candidate, incumbent_scored=known, candidate_scored=known)
    for variable in claim.variables:
        variable.add_independent(columns)
    return tuple(test.mean.log_e(test.margin, test.side) for test in (claim.holds, claim.breaks))


@pytest.mark.parametrize(
    ("gate", "good", "bad"),
    [
        (no_worse("recall@5", by=0.1), -0.05, -0.2),
        (better("recall@5", by=0.1), 0.2, -0.1),
        (at_least("recall@5", 0.7), 0.1, -0.2),
    ],
)
def test_a_claim_on_a_mean_holds_and_breaks_on_its_two_sides(gate, good, bad) -> None:
    """With the truth clearly on one side of the margin, that side's evidence grows and the other's does not."""
    rng = np.random.default_rng(2)
    incumbent = np.clip(rng.normal(0.75, 0.05, 2000), 0, 1)
    for shift, wins in ((good, "holds"), (bad, "breaks")):
        claim = claim_of(gate, [RECALL], contrasts={"recall@5": contrast_of(RECALL)})
        candidate = np.clip(incumbent + shift + rng.normal(0, 0.05, 2000), 0, 1)
        holds, breaks = proven(claim, incumbent, candidate)
        assert (holds > 3.0) == (wins == "holds")
        assert (breaks > 3.0) == (wins == "breaks")


@pytest.mark.parametrize(
    ("gate", "good", "bad"),
    [
        (at_most("latency.p95", ratio=1.3), 1.0, 2.0),
        (at_most("latency.p50", 1.5), 1.0, 2.5),
        (no_worse("latency.p50", by=0.4), 1.0, 2.5),
        (better("latency.p50", by=0.3), 0.3, 2.0),
        (at_most("latency", ratio=1.3), 1.0, 2.5),
        (at_most("latency", 3.0), 1.0, 5.0),
        (no_worse("latency", by=0.5, cap=20.0), 1.0, 3.0),
        (better("latency", by=0.3, cap=20.0), 0.3, 2.0),
    ],
)
def test_a_claim_on_seconds_holds_and_breaks_on_its_two_sides(gate, good, bad) -> None:
    """The same for latencies: quantiles and means, ratios and differences, both arms and one."""
    rng = np.random.default_rng(3)
    incumbent = np.exp(rng.normal(0, 0.5, 8000))
    for factor, wins in ((good, "holds"), (bad, "breaks")):
        claim = claim_of(gate, [LATENCY], contrasts={"latency": contrast_of(LATENCY)})
        candidate = factor * np.exp(rng.normal(0, 0.5, 8000))
        holds, breaks = proven(claim, incumbent, candidate)
        assert (holds > 3.0) == (wins == "holds"), (holds, breaks)
        assert (breaks > 3.0) == (wins == "breaks"), (holds, breaks)
