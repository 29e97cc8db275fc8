"""One look at a sample of any size: exact for two values, never too sure for more."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.looks import ONCE, MarginTest
from shadoweval.evidence.small_samples import mean_bound, mean_log_e_once

ALPHA = 0.05


def p_value(values, margin, side="greater", lo=-1.0, hi=1.0):
    mean = values if isinstance(values, HistBet) else HistBet.of(np.asarray(values, float), lo=lo, hi=hi)
    return math.exp(-mean_log_e_once(mean, margin, side))


def test_two_values_are_the_binomial_test():
    """Against scipy's tail, from a sample of one to a p-value of 1e-23."""
    for n, won, share in ((1, 1, 0.3), (2, 2, 0.01), (12, 11, 0.5), (60, 50, 0.6), (200, 150, 0.7), (1000, 1000, 0.95)):
        values = np.repeat([1.0, 0.0], [won, n - won])
        assert p_value(values, share, lo=0.0) == pytest.approx(stats.binom.sf(won - 1, n, share), rel=1e-4)
        assert p_value(1 - values, 1 - share, "less", lo=0.0) == pytest.approx(p_value(values, share, lo=0.0))


def test_many_values_are_the_share_of_drawn_weights(rng):
    """Against 200,000 draws of even weights, with one score more at the worst end."""
    for n, margin in ((3, -0.3), (12, 0.0), (40, 0.1)):
        values = np.round(rng.uniform(-1, 1, n), 2)
        weights = rng.dirichlet(np.ones(n + 1), 200_000)
        drawn = float((weights @ np.append(values, -1.0) <= margin).mean())
        assert p_value(values, margin) == pytest.approx(drawn, abs=0.005)
        drawn = float((weights @ np.append(values, 1.0) >= margin).mean())
        assert p_value(values, margin, "less") == pytest.approx(drawn, abs=0.005)


def test_large_samples_agree_with_students_t(rng):
    """With 20,000 scores the bounds are within a hundredth of a standard error's width."""
    values = np.clip(rng.normal(0.05, 0.3, 20_000), -1, 1)
    theirs = stats.ttest_1samp(values, 0.0).confidence_interval(1 - 2 * ALPHA)
    mean = HistBet.of(values)
    ours = mean_bound(mean, ALPHA, "lower"), mean_bound(mean, ALPHA, "upper")
    assert ours == pytest.approx(tuple(theirs), abs=3e-4)


def test_the_bound_is_where_the_test_turns(rng):
    """At either edge; no score, or all at the worst end, exclude nothing."""
    mean = HistBet.of(np.clip(rng.normal(0.0, 0.2, 60), -1, 1))
    lower, upper = mean_bound(mean, ALPHA, "lower"), mean_bound(mean, ALPHA, "upper")
    assert p_value(mean, lower - 1e-5) < ALPHA < p_value(mean, lower + 1e-5)
    assert p_value(mean, upper + 1e-5, "less") < ALPHA < p_value(mean, upper - 1e-5, "less")
    assert mean_bound(HistBet(), ALPHA, "lower") == mean_bound(HistBet.of([-1.0] * 9), ALPHA, "lower") == -1.0
    assert p_value(HistBet(), 0.0) == p_value([-1.0, -0.5], 0.0) == 1.0


@pytest.mark.parametrize("n", [1, 2, 5, 12, 30])
@pytest.mark.parametrize("margin", [-0.05, 0.0, 0.1])
def test_wins_and_losses_are_never_too_sure(n, margin):
    """All samples of n pairs that win, tie or lose: the chance of a false proof is at most 5 %, by exact sums."""
    counts = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)])
    nodes = (-1.0, 0.0, 1.0)
    false = np.array([p_value(np.repeat(nodes, row), margin) <= ALPHA for row in counts])
    ways = gammaln(n + 1) - gammaln(counts + 1).sum(axis=1)
    for lost in (*np.linspace(0, 0.5 - margin / 2, 30), *np.geomspace(1e-3, 0.1, 10)):
        won = lost + margin
        if lost < 0 or won < 0 or lost + won > 1:
            continue
        log_law = np.log(np.maximum([lost, 1 - lost - won, won], 1e-300))
        assert np.exp(ways + counts @ log_law)[false].sum() <= ALPHA + 1e-9, f"won {won}, lost {lost}"


def test_skewed_scores_are_never_too_sure(rng):
    """Small differences and rare great losses, at the margin: where a t test is wrong in four of ten samples."""
    margin, worst = -0.05, 0.0
    for n, size, rare in product((12, 30, 60, 120, 200), (0.0, 0.02), (0.06, 0.15)):
        shift = (margin + rare) / (1 - rare)
        false = theirs = 0
        for _ in range(400):
            lost = rng.random(n) < rare
            values = np.where(lost, -1.0, np.clip(rng.normal(shift, size, n), -1, 1))
            false += p_value(values, margin) <= ALPHA
            theirs += size > 0 and stats.ttest_1samp(values, margin, alternative="greater").pvalue <= ALPHA
        assert stats.binom.sf(false - 1, 400, ALPHA) > 0.001, (n, size, rare, false / 400)
        worst = max(worst, theirs / 400)
    assert worst > 0.3


def test_one_look_is_read_by_it():
    """`ONCE` asks this test, on either side of a margin."""
    mean = HistBet.of([0.1] * 9 + [0.0] * 50)
    for side in ("greater", "less"):
        assert ONCE.log_e(MarginTest(mean=mean, margin=-0.03, side=side)) == mean_log_e_once(mean, -0.03, side)
    assert ONCE.bound(mean, ALPHA, "upper") == mean_bound(mean, ALPHA, "upper")
