import math

import pytest

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.missing import missing_is_tolerable, tipping_mean, worst_case_bound


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
