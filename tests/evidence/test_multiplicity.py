import itertools
import math

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.multiplicity import e_bh, e_closed, mean_log_e

e_values = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=7)


def test_e_bh_equals_the_reference(vectors):
    """Against ville on the vector, with the merged alarm."""
    case = vectors["ebh"]
    log_e = np.log(case["input"]["e"])
    assert e_bh(log_e, case["input"]["alpha"]).tolist() == case["expected"]["reject"]
    assert math.exp(mean_log_e(log_e)) == pytest.approx(case["expected"]["global_mean_e"], abs=case["tol"])
    assert bool(mean_log_e(log_e) >= math.log(20)) is case["expected"]["global_alarm_alpha_05"]


@given(e_values, st.sampled_from([0.05, 0.1, 0.3]))
@settings(max_examples=80, deadline=None)
def test_e_bh_equals_ville(values, q):
    """Any list of e-values."""
    assert e_bh(np.log(values), q).tolist() == ville.evalues.ebh(np.array(values), q).tolist()


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
    bonferroni = np.array(values) >= len(values) / 0.1 * (1 + 1e-9)
    assert (named | ~bonferroni).all()


def test_the_mean_is_the_mean_without_overflow():
    """Of the e-values, not of their logs."""
    assert mean_log_e(np.log([2.0, 10.0])) == pytest.approx(math.log(6.0))
    assert mean_log_e([5_000.0, 0.0]) == pytest.approx(5_000 - math.log(2))


def test_unusable_values_are_refused():
    """NaN and nothing raise."""
    with pytest.raises(StatsInputError):
        e_bh([math.nan], 0.1)
    with pytest.raises(StatsInputError):
        mean_log_e([])
