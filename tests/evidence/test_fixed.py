import itertools
import math

import numpy as np
import pytest
import truescore
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import ttost_paired

from shadoweval.evidence.fixed import (
    mcnemar_exact_p,
    non_inferiority_bound,
    paired_interval,
    paired_t_p,
    rule_of_three,
    sign_flip_p,
    wilson_interval,
)
from shadoweval.evidence.inputs import StatsInputError


def test_suite_numbers_equal_the_reference(vectors):
    """Interval, t, sign-flip and equivalence on the vector's twelve differences."""
    case = vectors["fixed_n_paired"]
    differences, margin, expected = case["input"]["d"], case["input"]["margin"], case["expected"]
    interval = paired_interval(differences)
    assert [interval.lower, interval.upper] == pytest.approx(expected["ci"], abs=case["tol"])
    assert paired_t_p(differences, side="less") == pytest.approx(expected["t_p_less"], abs=case["tol"])
    assert sign_flip_p(differences, side="less") == pytest.approx(expected["signflip_p_less"], abs=case["tol"])
    tost = max(
        paired_t_p(differences, margin=-margin, side="greater"), paired_t_p(differences, margin=margin, side="less")
    )
    assert tost == pytest.approx(expected["tost_p"], abs=case["tol"])
    assert not interval.conclusive  # eight differences


@pytest.mark.parametrize("name", ["mcnemar_14_4", "mcnemar_30_30", "mcnemar_0_7"])
def test_exact_mcnemar_equals_the_reference(vectors, name):
    """Against statsmodels on the vectors."""
    case = vectors[name]
    assert mcnemar_exact_p(case["input"]["wins"], case["input"]["losses"]) == pytest.approx(
        case["expected"]["exact_p"], abs=case["tol"]
    )


def test_exact_mcnemar_equals_published_tables(table_cases):
    """Against VassarStats."""
    cases = table_cases("mcnemar_exact")
    assert cases
    for case in cases:
        assert mcnemar_exact_p(case["b"], case["c"]) == pytest.approx(case["p"], abs=case["tol"])


def test_wilson_interval_equals_newcombe_1998(table_cases):
    """Against Newcombe's Table I."""
    cases = table_cases("wilson95")
    assert cases
    for case in cases:
        assert wilson_interval(case["x"], case["n"]) == pytest.approx((case["lo"], case["hi"]), abs=case["tol"])


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=40, deadline=None)
def test_exact_mcnemar_equals_statsmodels_and_truescore(wins, losses):
    """Any pair of counts."""
    expected = mcnemar([[0, wins], [losses, 0]], exact=True).pvalue if wins + losses else 1.0
    assert mcnemar_exact_p(wins, losses) == pytest.approx(expected)
    first, second = [1] * wins + [0] * losses + [1], [0] * wins + [1] * losses + [1]
    assert truescore.mcnemar(first, second, midp=False).p_value == pytest.approx(expected)


@given(st.lists(st.integers(-5, 5), min_size=3, max_size=12), st.sampled_from(["less", "greater"]))
@settings(max_examples=40, deadline=None)
def test_exact_sign_flip_equals_trying_every_flip(integers, side):
    """All 2^k sign patterns of the differences that are not zero."""
    sizes = [abs(v) / 5 for v in integers if v]
    observed = sum(v / 5 for v in integers)
    sums = [
        sum(s * v for s, v in zip(signs, sizes, strict=True)) for signs in itertools.product((-1, 1), repeat=len(sizes))
    ]
    as_extreme = [t >= observed - 1e-9 if side == "greater" else t <= observed + 1e-9 for t in sums]
    assert sign_flip_p([v / 5 for v in integers], side=side) == pytest.approx(np.mean(as_extreme))


def test_random_sign_flip_is_near_scipy_and_repeats_with_its_seed(rng):
    """9,999 flips of 80 differences agree with scipy's permutation test to 0.02."""
    values = rng.normal(0.1, 0.5, 80)
    ours = sign_flip_p(values, side="greater", seed=3)
    theirs = stats.permutation_test(
        (values,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=9_999,
        rng=np.random.default_rng(1),
    ).pvalue
    assert ours == pytest.approx(theirs, abs=0.02)
    assert ours == sign_flip_p(values, side="greater", seed=3)
    assert ours >= 1 / 10_000


def test_t_test_equals_scipy_on_each_side_and_margin(rng):
    """Against scipy's one-sample test and statsmodels' equivalence test."""
    values = rng.normal(-0.02, 0.2, 60)
    for side in ("less", "greater", "two-sided"):
        theirs = stats.ttest_1samp(values, -0.03, alternative=side).pvalue
        assert paired_t_p(values, margin=-0.03, side=side) == pytest.approx(theirs)
    both = max(paired_t_p(values, margin=-0.1, side="greater"), paired_t_p(values, margin=0.1, side="less"))
    assert both == pytest.approx(ttost_paired(values, np.zeros(60), -0.1, 0.1)[0])


def test_non_inferiority_bound_is_the_one_sided_t_bound(rng):
    """The bound is above -d exactly when the one-sided test against -d rejects."""
    values = rng.normal(0.0, 0.2, 60)
    bound = non_inferiority_bound(values)
    assert bound == pytest.approx(stats.ttest_1samp(values, 0, alternative="greater").confidence_interval(0.95).low)
    assert (
        paired_t_p(values, margin=bound - 1e-9, side="greater")
        < 0.05
        < paired_t_p(values, margin=bound + 1e-6, side="greater")
    )


def test_differences_that_never_vary_have_no_nan():
    """A constant sample gives a degenerate interval and certain p-values, not NaN."""
    interval = paired_interval([0.0] * 5)
    assert (interval.lower, interval.upper, interval.conclusive) == (0.0, 0.0, False)
    assert paired_t_p([0.0] * 5, side="greater") == pytest.approx(0.5)
    assert paired_t_p([0.5] * 5, side="greater") == 0.0
    assert sign_flip_p([0.0] * 5, side="greater") == 1.0


def test_fewer_than_ten_differences_are_inconclusive():
    """Nine pairs that differ say nothing, ten may."""
    assert not paired_interval([0.1] * 9 + [0.0] * 50).conclusive
    assert paired_interval([0.1] * 10 + [0.0] * 50).conclusive


def test_rule_of_three_is_the_exact_upper_limit():
    """Zero of 100: 2.95 %, as Clopper and Pearson have it, and about 3 / n."""
    assert rule_of_three(100) == pytest.approx(stats.binomtest(0, 100).proportion_ci(0.90, "exact").high)
    assert rule_of_three(1_000) == pytest.approx(3 / 1_000, rel=0.01)


def test_wilson_equals_statsmodels():
    """Any proportion, any level."""
    for successes, n, alpha in ((0, 7, 0.05), (7, 7, 0.1), (30, 90, 0.01)):
        assert wilson_interval(successes, n, alpha=alpha) == pytest.approx(
            proportion_confint(successes, n, alpha, method="wilson"), abs=1e-12
        )


def test_unusable_samples_are_refused():
    """Too few, NaN, and impossible counts raise."""
    for bad in ([0.1], [0.1, math.nan]):
        with pytest.raises(StatsInputError):
            paired_interval(bad)
    with pytest.raises(StatsInputError):
        mcnemar_exact_p(-1, 2)
    with pytest.raises(StatsInputError):
        wilson_interval(3, 2)
    with pytest.raises(StatsInputError):
        rule_of_three(0)
