import math

import pytest
from scipy import special, stats

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.srm import sample_ratio_log_e


def test_evidence_equals_the_reference(vectors):
    """Against savvi's multinomial test."""
    case = vectors["srm"]["input"]
    ours = sample_ratio_log_e(case["kept"], case["total"], case["p0"], strength=case["k"])
    assert ours == pytest.approx(vectors["srm"]["expected"]["log_e"], abs=vectors["srm"]["tol"])


def test_evidence_equals_scipy():
    """Without any file: beta-binomial over binomial likelihood, for a large count too."""
    for kept, sent, planned in ((0, 0, 0.5), (970_000, 1_000_000, 0.98), (3, 40, 0.1)):
        a, b = 100 * planned, 100 * (1 - planned)
        expected = special.betaln(a + kept, b + sent - kept) - special.betaln(a, b)
        expected -= special.xlogy(kept, planned) + special.xlogy(sent - kept, 1 - planned)
        assert sample_ratio_log_e(kept, sent, planned) == pytest.approx(expected, rel=1e-7, abs=1e-9)


def test_mean_of_the_e_value_is_one_under_the_plan():
    """Exact enumeration over all counts of 60."""
    total = math.fsum(stats.binom.pmf(k, 60, 0.9) * math.exp(sample_ratio_log_e(k, 60, 0.9)) for k in range(61))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_impossible_counts_are_refused():
    """More kept than sent, or a plan to keep all, raises."""
    with pytest.raises(StatsInputError):
        sample_ratio_log_e(3, 2, 0.5)
    with pytest.raises(StatsInputError):
        sample_ratio_log_e(1, 2, 1.0)
