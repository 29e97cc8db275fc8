"""What evidence is worth to someone who looks always, and to someone who looks once."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.looks import ALWAYS, ONCE, MarginTest


def p_value(mean, margin, side):
    return math.exp(-ONCE.log_e(MarginTest(mean=mean, margin=margin, side=side)))


def test_one_look_equals_the_reference(vectors):
    """Interval, t and equivalence on the vector's twelve differences; repeated, for eight that differ are too few."""
    case = vectors["fixed_n_paired"]
    differences, margin, expected = case["input"]["d"], case["input"]["margin"], case["expected"]
    n, mean, error = len(differences), np.mean(differences), stats.sem(differences)
    width = stats.t.ppf(0.975, n - 1) * error
    assert [mean - width, mean + width] == pytest.approx(expected["ci"], abs=case["tol"])
    few = HistBet.of(differences)
    assert ONCE.bound(few, 0.025, "lower") == few.bound(0.025, "lower")
    twice = HistBet.of(differences * 2)
    again = stats.ttest_1samp(differences * 2, 0)
    low, high = again.confidence_interval(0.95)
    assert (ONCE.bound(twice, 0.025, "lower"), ONCE.bound(twice, 0.025, "upper")) == pytest.approx((low, high))
    assert p_value(twice, 0.0, "less") == pytest.approx(
        stats.ttest_1samp(differences * 2, 0, alternative="less").pvalue
    )
    tost = max(p_value(twice, -margin, "greater"), p_value(twice, margin, "less"))
    assert tost == pytest.approx(ttost_paired(np.array(differences * 2), np.zeros(2 * n), -margin, margin)[0])


def test_one_look_equals_scipy_on_each_side_and_margin(rng):
    """Against scipy's one-sample test and statsmodels' equivalence test."""
    values = np.clip(rng.normal(-0.02, 0.2, 60), -1, 1)
    mean = HistBet.of(values)
    for side in ("less", "greater"):
        theirs = stats.ttest_1samp(values, -0.03, alternative=side).pvalue
        assert p_value(mean, -0.03, side) == pytest.approx(theirs)
    both = max(p_value(mean, -0.1, "greater"), p_value(mean, 0.1, "less"))
    assert both == pytest.approx(ttost_paired(values, np.zeros(60), -0.1, 0.1)[0])


def test_the_bound_is_where_one_look_is_just_enough(rng):
    """The one-sided t bound: the test against a margin below it rejects, above it does not."""
    values = np.clip(rng.normal(0.0, 0.2, 60), -1, 1)
    mean = HistBet.of(values)
    bound = ONCE.bound(mean, 0.05, "lower")
    assert bound == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").confidence_interval(0.95).low)
    assert p_value(mean, bound - 1e-9, "greater") < 0.05 < p_value(mean, bound + 1e-6, "greater")


def test_fewer_than_ten_differences_are_bet_on():
    """Nine pairs that differ make no t test, nor do pairs that never vary; ten do."""
    for values in ([0.1] * 9 + [0.0] * 50, [0.0] * 40):
        mean = HistBet.of(values)
        assert p_value(mean, 0.0, "greater") == pytest.approx(math.exp(-mean.log_e(0.0, "greater")))
    ten = HistBet.of([0.1] * 10 + [0.0] * 50)
    assert p_value(ten, 0.0, "greater") == pytest.approx(
        stats.ttest_1samp([0.1] * 10 + [0.0] * 50, 0, alternative="greater").pvalue
    )


def test_several_guards_share_their_alpha():
    """Always: the mean of the e-values, named by the closed test; once: Bonferroni."""
    log_e = np.log([60.0, 0.5]).tolist()
    assert ALWAYS.merged(log_e) == pytest.approx(math.log(30.25))
    assert ALWAYS.named(log_e, 0.05) == (0,)
    assert ONCE.merged(log_e) == pytest.approx(math.log(30))
    assert ONCE.named(log_e, 0.05) == (0,)
    assert ALWAYS.named(np.log([31.0, 30.0, 0.1]).tolist(), 0.05) == ()
