"""Decayed counts and their bounds."""

import random
from statistics import NormalDist

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from shadoweval.traffic.window import Window, wilson


@pytest.mark.parametrize(("count", "n", "z"), [(0, 50, 3.0), (1, 50, 1.96), (13, 200, 3.0), (200, 200, 2.5)])
def test_wilson_agrees_with_statsmodels(count, n, z):
    """The bounds of a share are those of statsmodels."""
    alpha = 2 * (1 - NormalDist().cdf(z))

    assert wilson(count / n, n, z=z) == pytest.approx(
        proportion_confint(count, n, alpha=alpha, method="wilson"), abs=1e-9
    )


def test_no_trials_bound_nothing():
    """Without calls every share is possible."""
    assert wilson(0.0, 0.0, z=3.0) == (0.0, 1.0)


def test_bounds_lie_around_the_sample_quantile():
    """Quantiles of 5,000 log-normal durations lie between the bounds; these are as near as theory and bins allow."""
    rng = np.random.default_rng(1)
    durations = rng.lognormal(-1.0, 0.5, 5_000)
    window = Window(0.0, half_life=300.0)
    for duration in durations:
        window.add(float(duration), failed=False, now=0.0)

    for share in (0.5, 0.95, 0.99):
        low, high = (f(share, 0.0, z=3.0) for f in (window.at_least, window.at_most))
        slack = 3.0 * (share * (1 - share) / 5_000) ** 0.5
        bin_width = 2 ** (1 / 16)
        assert low <= np.quantile(durations, share) <= high
        assert low >= np.quantile(durations, share - slack) / bin_width
        assert high <= np.quantile(durations, min(share + slack, 1.0)) * bin_width


def test_too_few_calls_have_no_bounds():
    """p95 with z = 3 needs more than 171 calls before there is an upper bound."""
    window = Window(0.0, half_life=300.0)
    for _ in range(171):
        window.add(0.1, failed=False, now=0.0)
    assert window.at_most(0.95, 0.0, z=3.0) == float("inf")
    window.add(0.1, failed=False, now=0.0)
    assert window.at_most(0.95, 0.0, z=3.0) == pytest.approx(0.1, rel=0.05)
    assert Window(0.0, half_life=1.0).at_least(0.95, 0.0, z=3.0) == 0.0


def test_calls_fade():
    """After one half-life a call weighs one half, and old calls no longer shape a quantile."""
    window = Window(0.0, half_life=60.0)
    for _ in range(1000):
        window.add(5.0, failed=False, now=0.0)
    assert window.n(60.0) == pytest.approx(500.0)
    for _ in range(1000):
        window.add(0.1, failed=False, now=1200.0)

    assert window.at_most(0.95, 1200.0, z=3.0) == pytest.approx(0.1, rel=0.05)


def test_a_window_lasts_for_weeks():
    """Weights are brought down before they overflow; what is seen before and after is the same."""
    window = Window(0.0, half_life=1.0)
    rng = random.Random(3)
    for second in range(5_000):
        window.add(rng.uniform(0.1, 0.2), failed=second % 2 == 0, now=float(second))

    assert window.n(4_999.0) == pytest.approx(2.0, rel=1e-6)  # 1 + 1/2 + 1/4 + ...
    assert 0.0 < window.served(4_999.0) < 2.0


@pytest.mark.parametrize("duration", [0.0, -1.0, 1e-12, 1e12, float("inf"), float("nan")])
def test_odd_durations_break_nothing(duration):
    """Whatever a clock says falls into some bin."""
    window = Window(0.0, half_life=1.0)
    window.add(duration, failed=False, now=0.0)

    assert window.n(0.0) == 1.0


def test_a_failure_is_no_fast_answer():
    """Failed calls count as failures and not as durations."""
    window = Window(0.0, half_life=300.0)
    for i in range(1000):
        window.add(1.0 if i % 2 else 0.000_01, failed=i % 2 == 0, now=0.0)

    assert window.at_least(0.5, 0.0, z=3.0) == pytest.approx(1.0, rel=0.05)
    low, high = window.failures(0.0, z=3.0)
    assert low < 0.5 < high
    assert high - low < 0.1
