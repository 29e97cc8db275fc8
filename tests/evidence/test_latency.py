import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.discordant import discordant_log_e
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.latency import ORDER_LEVELS, PairedExceedance
from shadoweval.evidence.latency_ratio import QuantileRatio


def lognormal_pairs(rng, n, scale=1.0):
    query = rng.standard_normal(n)
    incumbent, candidate = (
        np.exp(0.8 * (math.sqrt(0.5) * query + math.sqrt(0.5) * rng.standard_normal(n))) for _ in range(2)
    )
    return incumbent, scale * candidate


def pin_threshold(tracker, tau):
    """Hold the threshold that the reference numbers were made with."""
    tracker._thresholds.current = np.array([tau])
    tracker._thresholds._refresh_at = 10**9
    return tracker


def test_exceedance_equals_the_reference(vectors):
    """Counts and evidence at a threshold of 2.0 with 10 % margin, against counting and mpmath."""
    pairs, case = vectors["latency_ratio_cs"]["input"], vectors["latency_exceedance"]
    tracker = pin_threshold(PairedExceedance((0.95,), ratio=1 + case["input"]["margin"]), pairs["tau"])
    tracker.extend(pairs["inc"], pairs["cand"])
    assert tracker.counts(0.95) == (case["expected"]["losses"], case["expected"]["wins"])
    assert tracker.log_e(0.95, "greater") == pytest.approx(case["expected"]["log_e_regress"], abs=case["tol"])
    assert tracker.log_e(0.95, "less") == pytest.approx(case["expected"]["log_e_noninferior"], abs=case["tol"])


def test_ratio_interval_equals_the_reference(vectors):
    """Bounds of the quantile ratio, against brute-force counts and mpmath."""
    case = vectors["latency_ratio_cs"]
    tracker = pin_threshold(QuantileRatio(0.95), case["input"]["tau"])
    tracker.extend(case["input"]["inc"], case["input"]["cand"])
    expected = (case["expected"]["lower"], case["expected"]["upper"])
    assert tracker.interval(case["input"]["alpha"]) == pytest.approx(expected, abs=case["tol"])


def test_paired_evidence_sees_the_shift_that_the_unpaired_test_sees(vectors):
    """Where confseq's unpaired quantile test gives p = 0.0001, the stochastic-order evidence rejects at 1 %."""
    case = vectors["quantile_ab_p_value"]
    assert case["expected"]["p"] < 0.001
    a, b = np.array(case["input"]["a"]), np.array(case["input"]["b"])
    slow, fast = (a, b) if np.median(a) > np.median(b) else (b, a)
    assert PairedExceedance().extend(fast, slow).order_log_e() >= math.log(100)


def test_paired_evidence_rejects_where_unpaired_bands_begin_to(vectors):
    """Differences that unpaired bands for distributions and for p95 just reach are found with room to spare."""
    band = vectors["empirical_process_lil_bound"]
    place = band["input"]["t"].index(1_000)
    net = round(1_000 * 2 * band["expected"]["eps"][place])  # two bands that just part
    assert discordant_log_e([(500 + net) / 2], [(500 - net) / 2])[0] > math.log(1_000)
    ranks = vectors["beta_binomial_mixture_bound_p95"]
    place = ranks["input"]["t"].index(5_000)
    net = ranks["expected"]["upper"][place] + ranks["expected"]["lower"][place]
    # 5 % of 5,000 exceed per arm: at most 500 pairs differ.
    assert discordant_log_e([(500 + net) / 2], [(500 - net) / 2])[0] > math.log(1_000)


@pytest.mark.parametrize("make", [PairedExceedance, lambda: QuantileRatio(0.9)], ids=["exceedance", "ratio"])
@given(cuts=st.lists(st.integers(0, 200), max_size=5))
@settings(max_examples=15, deadline=None)
def test_batches_and_resuming_change_nothing(make, cuts):
    """Cut anywhere and passed through JSON at each cut, the state is that of one call; so it is one by one."""
    incumbent, candidate = lognormal_pairs(np.random.default_rng(8), 200)
    whole, parts, single = make().extend(incumbent, candidate), make(), make()
    for ours, theirs in zip(np.split(incumbent, sorted(cuts)), np.split(candidate, sorted(cuts)), strict=True):
        parts = type(parts).from_state(json.loads(json.dumps(parts.extend(ours, theirs).to_state())))
    for pair in zip(incumbent, candidate, strict=True):
        single.add(*pair)
    assert parts.to_state() == whole.to_state() == single.to_state()


def test_merging_adds_the_evidence_of_both_streams(rng):
    """Counts of two workers add up, and so do the incumbents that later thresholds come from."""
    one, two = (PairedExceedance().extend(*lognormal_pairs(rng, 300, 1.3)) for _ in range(2))
    counts = [tuple(np.add(one.counts(q), two.counts(q))) for q in ORDER_LEVELS]
    first, second = (QuantileRatio(0.5).extend(*lognormal_pairs(rng, 300)) for _ in range(2))
    merged = one.merge(two)
    assert [merged.counts(q) for q in ORDER_LEVELS] == counts
    assert merged.n == 500
    assert first.merge(second).n == 500


def test_order_evidence_is_the_mean_over_the_quantiles(rng):
    """Log of the average of the five e-values."""
    tracker = PairedExceedance().extend(*lognormal_pairs(rng, 500, 1.2))
    e = [math.exp(discordant_log_e([more], [less])[0]) for more, less in map(tracker.counts, ORDER_LEVELS)]
    assert tracker.order_log_e() == pytest.approx(math.log(np.mean(e)))


def test_a_slower_candidate_is_found_and_a_margin_forgives_it(rng):
    """40 % slower: an alarm without a margin, non-inferior with one of 100 %, and the ratio is covered."""
    incumbent, candidate = lognormal_pairs(rng, 4_000, 1.4)
    assert PairedExceedance().extend(incumbent, candidate).order_log_e() > math.log(1000)
    lenient = PairedExceedance((0.5, 0.95), ratio=2.0).extend(incumbent, candidate)
    assert lenient.log_e(0.5, "less") > math.log(20)
    lower, upper = QuantileRatio(0.5).extend(incumbent, candidate).interval(0.05)
    assert 1 < lower < 1.4 < upper < 2


def test_nothing_is_judged_before_the_incumbent_is_known():
    """Without a reference the first fifty pairs set the threshold and count for nothing."""
    tracker = PairedExceedance().extend([1.0] * 49, [2.0] * 49)
    assert (tracker.n, tracker.thresholds) == (0, None)
    assert tracker.order_log_e() == pytest.approx(0.0, abs=1e-12)
    assert QuantileRatio(0.5).level == 0.5
    assert QuantileRatio(0.5).extend([1.0] * 50, [2.0] * 50).interval(0.05) == (0.0, math.inf)


def test_states_stay_small(rng):
    """100,000 pairs in at most 8 kB of JSON."""
    incumbent, candidate = lognormal_pairs(rng, 100_000)
    for tracker in (PairedExceedance(), QuantileRatio(0.95)):
        assert len(json.dumps(tracker.extend(incumbent, candidate).to_state())) <= 8_000


def test_unusable_latencies_and_questions_are_refused():
    """Negative, NaN, unpaired, unwatched and mismatching input raises."""
    for bad in (([-1.0], [1.0]), ([1.0], [math.nan]), ([1.0], [1.0, 2.0])):
        with pytest.raises(StatsInputError):
            PairedExceedance().extend(*bad)
        with pytest.raises(StatsInputError):
            QuantileRatio(0.5).extend(*bad)
    with pytest.raises(StatsInputError, match="not watched"):
        PairedExceedance().counts(0.42)
    with pytest.raises(StatsInputError, match="ratio"):
        PairedExceedance(ratio=0.0)
    with pytest.raises(StatsInputError, match="ratio"):
        PairedExceedance().merge(PairedExceedance(ratio=1.2))
    with pytest.raises(StatsInputError, match="numbers"):
        PairedExceedance.from_state(PairedExceedance().to_state() | {"more": [1]})
    thresholds = PairedExceedance().to_state()["thresholds"]
    with pytest.raises(StatsInputError, match="one quantile"):
        QuantileRatio.from_state(QuantileRatio(0.5).to_state() | {"thresholds": thresholds})
    with pytest.raises(StatsInputError, match="of 'QuantileRatio' in version 1, not of 'PairedExceedance'"):
        PairedExceedance.from_state(QuantileRatio(0.5).to_state())
