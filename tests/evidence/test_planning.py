import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.planning import pairs_needed, pairs_to_go, planned_pairs


def test_fixed_sample_equals_the_reference(vectors):
    """Against scipy's normal quantiles."""
    case = vectors["oracle_n"]
    assert pairs_needed(case["input"]["var"], case["input"]["delta"]) == case["expected"]["n"]


def test_fixed_sample_equals_statsmodels():
    """Without any file: one-sample z power, any level."""
    theirs = NormalIndPower(ddof=0).solve_power(
        effect_size=0.1 / 0.5, alpha=0.01, power=0.8, ratio=0, alternative="larger"
    )
    assert pairs_needed(0.25, 0.1, alpha=0.01, power=0.8) == math.ceil(theirs)


def test_plan_brackets_the_fixed_sample():
    """Half of the runs need about half of the fixed sample, most about twice it."""
    plan = planned_pairs(0.072, 0.03)
    assert plan.half < plan.fixed == 866 < plan.most < 2 * plan.fixed


def test_simulated_futures_agree_with_real_ones(rng):
    """From 500 pairs the median of the simulated waits lies within the middle nine tenths of 60 real ones."""
    chances, points = [0.1, 0.7, 0.2], [-0.2, 0.0, 0.2]
    pilot = HistBet.of(rng.choice(points, 500, p=chances))
    waits = []
    for _ in range(60):
        evidence, wait = HistBet.from_state(pilot.to_state()), 0
        while evidence.log_e(0.0, "greater") < math.log(20):
            evidence.extend(rng.choice(points, 50, p=chances))
            wait += 50
        waits.append(wait)
    answer = pairs_to_go(pilot, 0.0, "greater")
    assert answer.early <= answer.median <= answer.late
    assert np.quantile(waits, 0.05) <= answer.median <= np.quantile(waits, 0.95) + 50
    assert answer == pairs_to_go(pilot, 0.0, "greater")


def test_a_finding_that_is_there_needs_no_more_pairs():
    """And one that never comes says so."""
    done = pairs_to_go(HistBet.of([0.2] * 400 + [0.0] * 10), 0.0, "greater")
    assert (done.early, done.median, done.late, done.chance) == (0, 0, 0, 1.0)
    never = pairs_to_go(HistBet.of([0.0, -0.2] * 200), 0.0, "greater", horizon=2_000, futures=50)
    assert (never.median, never.chance) == (2_000, 0.0)


def test_impossible_plans_are_refused():
    """No gap, no past, no future raises."""
    with pytest.raises(StatsInputError, match="gap"):
        pairs_needed(0.1, 0.0)
    with pytest.raises(StatsInputError):
        pairs_needed(-0.1, 0.1)
    with pytest.raises(StatsInputError, match="past"):
        pairs_to_go(HistBet(), 0.0, "greater")
    with pytest.raises(StatsInputError):
        pairs_to_go(HistBet.of([0.1]), 0.0, "greater", futures=0)
