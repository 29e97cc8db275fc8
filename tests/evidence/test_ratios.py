import json
import math

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from shadoweval.evidence.capped import CappedRatio
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.ratios import MeanRatio, mixture_radius
from shadoweval.evidence.variables import Scale, Scores


def costs(n, seed=3, scale=1.0):
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(n)
    incumbent, candidate = (np.exp(0.5 * (shared + rng.standard_normal(n))) for _ in range(2))
    return incumbent, scale * candidate


def test_interval_equals_the_reference(vectors):
    """Against root finding over the raw pairs."""
    case = vectors["cost_ratio_fieller"]
    ratio = MeanRatio().extend(case["input"]["inc"], case["input"]["cand"])
    expected = (case["expected"]["lower"], case["expected"]["upper"])
    interval = ratio.interval(case["input"]["alpha"], optimal_at=case["input"]["t_opt"])
    assert interval == pytest.approx(expected, abs=case["tol"])


def test_interval_is_where_the_mean_difference_meets_its_radius():
    """Without any file: both ends solve |mean(c - rho i)| = sd(c - rho i) * radius."""
    i, c = costs(400, scale=1.2)
    lower, upper = MeanRatio().extend(i, c).interval(0.05)

    def excess(rho):
        return abs((c - rho * i).mean()) - (c - rho * i).std(ddof=1) * mixture_radius(400, 0.05)

    middle = c.mean() / i.mean()
    assert lower == pytest.approx(optimize.brentq(excess, 0.3 * middle, middle), abs=1e-9)
    assert upper == pytest.approx(optimize.brentq(excess, middle, 3 * middle), abs=1e-9)


def capped(ratio, cap, incumbent, candidate):
    """The gate's variable over pairs that are units by themselves."""
    variable = CappedRatio(Scale(0.0, None, higher_is_better=False), cap, ratio=ratio)
    known = np.ones(len(incumbent), dtype=bool)
    scores = Scores(incumbent=incumbent, candidate=candidate, incumbent_scored=known, candidate_scored=known)
    variable.add_independent(scores)
    return variable


@given(st.integers(0, 150))
@settings(max_examples=20, deadline=None)
def test_batches_and_resuming_change_nothing(cut):
    """Cut anywhere, one by one and through JSON, to 1e-9."""
    i, c = costs(150)
    whole, single = MeanRatio().extend(i, c), MeanRatio()
    resumed = MeanRatio()
    resumed.restore(json.loads(json.dumps(MeanRatio().extend(i[:cut], c[:cut]).to_state())))
    resumed.extend(i[cut:], c[cut:])
    for pair in zip(i, c, strict=True):
        single.extend(*([value] for value in pair))
    for other in (resumed, single):
        assert other.n == whole.n == 150
        assert other.interval(0.05) == pytest.approx(whole.interval(0.05), abs=1e-9)


def test_nothing_is_claimed_before_a_hundred_pairs_or_about_free_incumbents():
    """The sequence is unbounded where the approximation has no ground."""
    assert MeanRatio().extend(*costs(99)).interval(0.05) == (0.0, math.inf)
    assert MeanRatio().extend([0.0] * 200, [1.0, 2.0] * 100).interval(0.05) == (0.0, math.inf)


def test_gate_is_histbet_on_the_capped_difference():
    """The difference ratio * incumbent - candidate, amounts cut at the cap, both ways round."""
    i, c = costs(300)
    gate = capped(1.1, 4.0, i, c)
    difference = 1.1 * np.minimum(i, 4.0) - np.minimum(c, 4.0)
    evidence = HistBet.of(difference, lo=-4.0, hi=4.4, bins=4_000)
    assert gate.mean.log_e(0.0, "greater") == pytest.approx(evidence.log_e(0.0, "greater"), abs=1e-6)
    assert gate.mean.log_e(0.0, "less") == pytest.approx(evidence.log_e(0.0, "less"), abs=1e-6)
    assert gate.cut.candidate == int((c > 4).sum()) > 0


def test_a_dearer_candidate_is_found_and_a_margin_forgives_it():
    """Twice the cost is found; within a ratio of 2.5 it is shown to be."""
    i, c = costs(3_000, scale=2.0)
    assert MeanRatio().extend(i, c).interval(0.1)[0] > 1.5
    assert capped(1.1, 50.0, i, c).mean.log_e(0.0, "less") > math.log(20)
    assert capped(2.5, 50.0, i, c).mean.log_e(0.0, "greater") > math.log(20)


def test_unusable_amounts_and_states_are_refused():
    """NaN, unpaired amounts and damaged states raise."""
    with pytest.raises(StatsInputError):
        MeanRatio().extend([1.0], [math.nan])
    with pytest.raises(StatsInputError):
        MeanRatio().extend([1.0], [1.0, 2.0])
    with pytest.raises(StatsInputError, match="numbers"):
        MeanRatio().restore(MeanRatio().to_state() | {"sums": [1.0]})


def test_radius_equals_confseq(vectors):
    """The two-sided normal mixture from 50 to a million terms."""
    case = vectors["normal_mixture_bound"]
    for t, u in zip(case["input"]["t"], case["expected"]["two_sided"], strict=True):
        radius = mixture_radius(t, case["input"]["alpha"], optimal_at=case["input"]["t_opt"])
        assert radius * t == pytest.approx(u, rel=1e-8)


def test_a_mean_with_its_radius_equals_the_reference(vectors):
    """Mean +- deviation * radius is confseq's asymptotic sequence."""
    case = vectors["asymp_cs"]
    values = np.array(case["input"]["x"])
    width = values.std(ddof=1) * mixture_radius(values.size, case["input"]["alpha"], optimal_at=case["input"]["t_opt"])
    expected = (case["expected"]["lower"], case["expected"]["upper"])
    assert (values.mean() - width, values.mean() + width) == pytest.approx(expected, abs=case["tol"])


def test_interval_is_that_of_ville(rng):
    """Without any file: ville tunes its boundary by another approximation, so the widths agree to 1 %."""
    values = rng.normal(0.3, 2.0, 700)
    theirs = ville.AsymptoticCS(alpha=0.05, t_opt=1_000)
    theirs.update(values)
    low, high = theirs.interval()
    assert values.std(ddof=1) * mixture_radius(700, 0.05) == pytest.approx((high - low) / 2, rel=0.01)


def test_impossible_settings_are_refused():
    """No term, or a level of one, raises."""
    with pytest.raises(StatsInputError):
        mixture_radius(0, 0.05)
    with pytest.raises(StatsInputError):
        mixture_radius(10, 1.0)
