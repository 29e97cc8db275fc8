import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from shadoweval.evidence.asymptotic import mixture_radius
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.ratio import CappedRatio, MeanRatio


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


@given(st.integers(0, 150))
@settings(max_examples=20, deadline=None)
def test_batches_merging_and_resuming_change_nothing(cut):
    """Both trackers, cut anywhere, merged, one by one and through JSON, to 1e-9."""
    i, c = costs(150)
    for make in (MeanRatio, lambda: CappedRatio(ratio=1.1, cap=4.0, bins=400)):
        whole = make().extend(i, c)
        merged = make().extend(i[:cut], c[:cut]).merge(make().extend(i[cut:], c[cut:]))
        kind = type(whole)
        resumed = kind.from_state(json.loads(json.dumps(make().extend(i[:cut], c[:cut]).to_state())))
        resumed.extend(i[cut:], c[cut:])
        single = make()
        for pair in zip(i, c, strict=True):
            single.add(*pair)
        for other in (merged, resumed, single):
            assert other.n == whole.n == 150
            if isinstance(whole, MeanRatio):
                assert other.interval(0.05) == pytest.approx(whole.interval(0.05), abs=1e-9)
            else:
                assert other.log_e("less") == pytest.approx(whole.log_e("less"), abs=1e-9)
                assert other.capped == whole.capped


def test_nothing_is_claimed_before_a_hundred_pairs_or_about_free_incumbents():
    """The sequence is unbounded where the approximation has no ground."""
    assert MeanRatio().extend(*costs(99)).interval(0.05) == (0.0, math.inf)
    assert MeanRatio().extend([0.0] * 200, [1.0, 2.0] * 100).interval(0.05) == (0.0, math.inf)


def test_gate_is_histbet_on_the_capped_difference():
    """The difference ratio * incumbent - candidate, amounts cut at the cap, both ways round."""
    i, c = costs(300)
    gate = CappedRatio(ratio=1.1, cap=4.0).extend(i, c)
    difference = 1.1 * np.minimum(i, 4.0) - np.minimum(c, 4.0)
    evidence = HistBet.of(difference, lo=-4.0, hi=4.4, bins=4_000)
    assert gate.log_e("less") == pytest.approx(evidence.log_e(0.0, "greater"), abs=1e-6)
    assert gate.log_e("greater") == pytest.approx(evidence.log_e(0.0, "less"), abs=1e-6)
    assert gate.capped == int(((i > 4) | (c > 4)).sum()) > 0


def test_a_dearer_candidate_is_found_and_a_margin_forgives_it():
    """Twice the cost is found; within a ratio of 2.5 it is shown to be."""
    i, c = costs(3_000, scale=2.0)
    assert MeanRatio().extend(i, c).interval(0.1)[0] > 1.5
    assert CappedRatio(ratio=1.1, cap=50.0).extend(i, c).log_e("greater") > math.log(20)
    assert CappedRatio(ratio=2.5, cap=50.0).extend(i, c).log_e("less") > math.log(20)


def test_unusable_amounts_settings_and_states_are_refused():
    """NaN, negative, unpaired amounts, impossible settings and damaged states raise."""
    with pytest.raises(StatsInputError):
        MeanRatio().extend([1.0], [math.nan])
    with pytest.raises(StatsInputError, match="negative"):
        CappedRatio(ratio=1.1, cap=1.0).extend([-1.0], [1.0])
    with pytest.raises(StatsInputError, match="positive"):
        CappedRatio(ratio=0.0, cap=1.0)
    with pytest.raises(StatsInputError):
        CappedRatio(ratio=1.1, cap=1.0).merge(CappedRatio(ratio=1.1, cap=2.0))
    with pytest.raises(StatsInputError, match="numbers"):
        MeanRatio.from_state(MeanRatio().to_state() | {"sums": [1.0]})
