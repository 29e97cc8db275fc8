import itertools
import math

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.multiplicity import benjamini_hochberg, e_bh, e_bonferroni, e_closed, mean_log_e

e_values = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=7)


def test_e_bh_and_bonferroni_equal_the_reference(vectors):
    """Against ville on the vector, with the merged alarm."""
    case = vectors["ebh"]
    log_e = np.log(case["input"]["e"])
    assert e_bh(log_e, case["input"]["alpha"]).tolist() == case["expected"]["reject"]
    assert e_bonferroni(log_e, case["input"]["alpha"]).tolist() == case["expected"]["e_bonferroni"]
    assert math.exp(mean_log_e(log_e)) == pytest.approx(case["expected"]["global_mean_e"], abs=case["tol"])
    assert bool(mean_log_e(log_e) >= math.log(20)) is case["expected"]["global_alarm_alpha_05"]


def test_benjamini_hochberg_equals_the_reference(vectors):
    """Against statsmodels on the vector."""
    case = vectors["bh"]
    assert benjamini_hochberg(case["input"]["p"], case["input"]["q"]).tolist() == case["expected"]["reject"]


@given(e_values, st.sampled_from([0.05, 0.1, 0.3]))
@settings(max_examples=80, deadline=None)
def test_e_bh_equals_ville(values, q):
    """Any list of e-values."""
    assert e_bh(np.log(values), q).tolist() == ville.evalues.ebh(np.array(values), q).tolist()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.sampled_from([0.05, 0.2]))
@settings(max_examples=80, deadline=None)
def test_benjamini_hochberg_equals_statsmodels(values, q):
    """Any list of p-values."""
    assert benjamini_hochberg(values, q).tolist() == multipletests(values, q, "fdr_bh")[0].tolist()


@given(e_values)
@settings(max_examples=80, deadline=None)
def test_closed_test_equals_trying_every_subset(values):
    """A null is named when every subset that holds it has a mean of at least 1 / alpha; never fewer than Bonferroni."""
    named = e_closed(np.log(values), 0.1)
    for index in range(len(values)):
        others = [v for place, v in enumerate(values) if place != index]
        means = [
            (values[index] + sum(chosen)) / (1 + len(chosen))
            for size in range(len(values))
            for chosen in itertools.combinations(others, size)
        ]
        if abs(min(means) - 10) > 1e-6:
            assert named[index] == (min(means) >= 10)
    assert (named | ~e_bonferroni(np.log(values), 0.1)).all()


def test_weighted_mean_is_the_weighted_mean():
    """With weights fixed beforehand, and without overflow."""
    assert mean_log_e(np.log([2.0, 10.0]), weights=[3, 1]) == pytest.approx(math.log(4.0))
    assert mean_log_e([5_000.0, 0.0]) == pytest.approx(5_000 - math.log(2))
    assert mean_log_e([[0.0, 0.0], [1.0, 1.0]]).tolist() == pytest.approx([0.0, 1.0])


def test_unusable_values_are_refused():
    """NaN, nothing, negative weights and p-values beyond one raise."""
    with pytest.raises(StatsInputError):
        e_bh([math.nan], 0.1)
    with pytest.raises(StatsInputError):
        mean_log_e([])
    with pytest.raises(StatsInputError, match="weights"):
        mean_log_e([1.0, 2.0], weights=[1, -1])
    with pytest.raises(StatsInputError):
        benjamini_hochberg([1.2], 0.1)
