import math

import numpy as np
import pytest
from scipy import special, stats

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.validity import (
    control_log_e,
    missing_is_tolerable,
    sample_ratio_log_e,
    tipping_mean,
    worst_case_bound,
)


def test_bounds_equal_the_reference(vectors):
    """The arithmetic of the vector."""
    case = vectors["missing_tipping"]
    lower, share, margin = (case["input"][name] for name in ("L", "q", "delta"))
    assert worst_case_bound(lower, share) == pytest.approx(case["expected"]["worst_case"], abs=case["tol"])
    assert tipping_mean(lower, share, margin=margin) == pytest.approx(case["expected"]["tipping"], abs=case["tol"])


def test_the_tipping_mean_tips_exactly():
    """With the missing pairs at that mean, the bound over all pairs is the margin."""
    tipping = tipping_mean(0.01, 0.04, margin=0.02)
    assert 0.96 * 0.01 + 0.04 * tipping == pytest.approx(-0.02)


def test_nothing_missing_changes_nothing():
    """The bound stands, and nothing can tip it, or it was tipped already."""
    assert worst_case_bound(-0.01, 0.0) == -0.01
    assert tipping_mean(-0.01, 0.0, margin=0.02) == -math.inf
    assert tipping_mean(-0.03, 0.0, margin=0.02) == math.inf
    assert missing_is_tolerable(-0.01, 0.0, margin=0.02)
    assert not missing_is_tolerable(-0.03, 0.0, margin=0.02)


@pytest.mark.parametrize(
    ("lower", "share", "tolerable"),
    [(-0.008, 0.01, True), (0.0, 0.05, True), (0.01, 0.06, False), (-0.019, 0.05, False), (0.2, 0.1, True)],
)
def test_missing_pairs_are_tolerated_by_worst_case_or_by_a_far_tipping_point(lower, share, tolerable):
    """Either nothing could tip the finding, or few are missing and they would have to be very bad."""
    assert missing_is_tolerable(lower, share, margin=0.02) is tolerable


def test_impossible_shares_are_refused():
    """More than all, or a bound that is NaN, raises."""
    with pytest.raises(StatsInputError):
        worst_case_bound(0.0, 1.1)
    with pytest.raises(StatsInputError):
        tipping_mean(math.nan, 0.1, margin=0.02)


def test_sample_ratio_equals_the_reference(vectors):
    """Against savvi's multinomial test."""
    case = vectors["srm"]["input"]
    ours = sample_ratio_log_e(case["kept"], case["total"], case["p0"], strength=case["k"])
    assert ours == pytest.approx(vectors["srm"]["expected"]["log_e"], abs=vectors["srm"]["tol"])


def test_sample_ratio_equals_scipy():
    """Without any file: beta-binomial over binomial likelihood, for a large count too."""
    for kept, sent, planned in ((0, 0, 0.5), (970_000, 1_000_000, 0.98), (3, 40, 0.1)):
        a, b = 100 * planned, 100 * (1 - planned)
        expected = special.betaln(a + kept, b + sent - kept) - special.betaln(a, b)
        expected -= special.xlogy(kept, planned) + special.xlogy(sent - kept, 1 - planned)
        assert sample_ratio_log_e(kept, sent, planned) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_mean_of_the_sample_ratios_e_value_is_one_under_the_plan():
    """Exact enumeration over all counts of 60."""
    total = math.fsum(stats.binom.pmf(k, 60, 0.9) * math.exp(sample_ratio_log_e(k, 60, 0.9)) for k in range(61))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_impossible_counts_are_refused():
    """More kept than sent, or a plan to keep all, raises."""
    with pytest.raises(StatsInputError):
        sample_ratio_log_e(3, 2, 0.5)
    with pytest.raises(StatsInputError):
        sample_ratio_log_e(1, 2, 1.0)


def test_control_looks_both_ways(rng):
    """A bias of either sign alarms, none does not."""
    noise = rng.normal(0, 0.1, 2_000)
    for shift, alarms in ((0.0, False), (0.03, True), (-0.03, True)):
        evidence = HistBet.of(np.clip(noise + shift, -1, 1))
        assert (control_log_e(evidence) >= math.log(100)) is alarms
