import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shadoweval.evidence.bets import discordant_log_e
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.multiplicity import mean_log_e
from shadoweval.evidence.quantile_sketch import WARMUP, PredictableQuantiles, QuantileSketch, Threshold
from shadoweval.evidence.quantiles import (
    _EDGES,
    ORDER_LEVELS,
    Exceedances,
    _cells,
)
from shadoweval.evidence.states import pack
from shadoweval.evidence.variables import Scale, Scores

SECONDS = Scale(0.0, None, higher_is_better=False)


def lognormal_pairs(rng, n, scale=1.0):
    query = rng.standard_normal(n)
    incumbent, candidate = (
        np.exp(0.8 * (math.sqrt(0.5) * query + math.sqrt(0.5) * rng.standard_normal(n))) for _ in range(2)
    )
    return incumbent, scale * candidate


def exceedances(level=0.95, **settings):
    return Exceedances(SECONDS, level, **({"watched": ORDER_LEVELS} | settings))


def feed(variable, incumbent, candidate):
    """Count pairs that are units by themselves."""
    known = np.ones(len(incumbent), dtype=bool)
    incumbent, candidate = np.asarray(incumbent, dtype=float), np.asarray(candidate, dtype=float)
    scores = Scores(incumbent=incumbent, candidate=candidate, incumbent_scored=known, candidate_scored=known)
    variable.add_independent(scores)
    return variable


def counts(mean):
    """Pairs in which only the candidate, and in which only the incumbent, exceeded the threshold."""
    return int(mean.counts[-1]), int(mean.counts[0])


def order_log_e(variable):
    """Evidence that the candidate is slower somewhere."""
    return mean_log_e([mean.log_e(0.0, "greater") for mean in variable.means[1:]])


def pin_threshold(variable, tau):
    """Hold the threshold that the reference numbers were made with."""
    variable._thresholds.current = (Threshold(tau, tau, 0.0),) * len(variable._thresholds.levels)
    variable._thresholds._refresh_at = 10**9
    return variable


def test_exceedance_equals_the_reference(vectors):
    """Counts and evidence at a threshold of 2.0 with 10 % margin, against counting and mpmath."""
    pairs, case = vectors["latency_ratio_cs"]["input"], vectors["latency_exceedance"]
    variable = pin_threshold(exceedances(ratio=1 + case["input"]["margin"]), pairs["tau"])
    mean = feed(variable, pairs["inc"], pairs["cand"]).mean
    assert counts(mean) == (case["expected"]["losses"], case["expected"]["wins"])
    assert mean.log_e(0.0, "greater") == pytest.approx(case["expected"]["log_e_regress"], abs=case["tol"])
    assert mean.log_e(0.0, "less") == pytest.approx(case["expected"]["log_e_noninferior"], abs=case["tol"])


def test_ratio_interval_equals_the_reference(vectors):
    """Bounds of the quantile ratio, against brute-force counts and mpmath."""
    case = vectors["latency_ratio_cs"]
    variable = feed(pin_threshold(exceedances(), case["input"]["tau"]), case["input"]["inc"], case["input"]["cand"])
    expected = (case["expected"]["lower"], case["expected"]["upper"])
    assert variable.ratio_interval(case["input"]["alpha"]) == pytest.approx(expected, abs=case["tol"])


def test_paired_evidence_sees_the_shift_that_the_unpaired_test_sees(vectors):
    """Where confseq's unpaired quantile test gives p = 0.0001, the stochastic-order evidence rejects at 1 %."""
    case = vectors["quantile_ab_p_value"]
    assert case["expected"]["p"] < 0.001
    a, b = np.array(case["input"]["a"]), np.array(case["input"]["b"])
    slow, fast = (a, b) if np.median(a) > np.median(b) else (b, a)
    assert order_log_e(feed(exceedances(), fast, slow)) >= math.log(100)


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


def _exact(variable):
    """What decides. Sums are only printed, and the order of an addition moves their last digit."""
    state = variable.to_state()
    return state | {"means": [{**mean, "total": None, "squares": None} for mean in state["means"]]}


@given(cuts=st.lists(st.integers(0, 200), max_size=5))
@example(cuts=[160])
@settings(max_examples=15, deadline=None)
def test_batches_and_resuming_change_nothing(cuts):
    """Cut anywhere and passed through JSON at each cut, the evidence is that of one call; so it is one by one."""
    incumbent, candidate = lognormal_pairs(np.random.default_rng(8), 200)
    whole, parts, single = feed(exceedances(), incumbent, candidate), exceedances(), exceedances()
    for ours, theirs in zip(np.split(incumbent, sorted(cuts)), np.split(candidate, sorted(cuts)), strict=True):
        state = json.loads(json.dumps(feed(parts, ours, theirs).to_state()))
        parts = exceedances()
        parts.restore(state)
    for pair in zip(incumbent, candidate, strict=True):
        feed(single, *([value] for value in pair))
    assert _exact(parts) == _exact(single) == _exact(whole)
    for sums in ("total", "squares"):
        by_cut = [[mean[sums] for mean in each.to_state()["means"]] for each in (parts, single, whole)]
        assert by_cut[0] == pytest.approx(by_cut[2], rel=1e-12, abs=1e-12)
        assert by_cut[1] == pytest.approx(by_cut[2], rel=1e-12, abs=1e-12)


def test_each_watched_quantile_has_the_evidence_of_its_own_counts(rng):
    """By hand: how far each arm lies beyond the incumbent's quantile as known before the pair, ties in part."""
    incumbent, candidate = lognormal_pairs(rng, 500, 1.2)
    variable = feed(exceedances(), incumbent, candidate)
    for level, mean in zip(ORDER_LEVELS, variable.means[1:], strict=True):
        x = []
        for part, tau in PredictableQuantiles((level,)).advance(incumbent):
            if tau is not None:
                low, high, tie = tau[0]
                slow = [
                    np.where(arm > high, 1.0, np.where(arm > low, tie, 0.0))
                    for arm in (candidate[part], incumbent[part])
                ]
                x += (slow[0] - slow[1]).tolist()
        assert mean.counts.tolist() == HistBet.of(x).counts.tolist()


def test_a_slower_candidate_is_found_and_a_margin_forgives_it(rng):
    """40 % slower: an alarm without a margin, non-inferior with one of 100 %, and the ratio is covered."""
    incumbent, candidate = lognormal_pairs(rng, 4_000, 1.4)
    assert order_log_e(feed(exceedances(), incumbent, candidate)) > math.log(1000)
    lenient = feed(exceedances(0.5, ratio=2.0), incumbent, candidate)
    assert lenient.mean.log_e(0.0, "less") > math.log(20)
    lower, upper = lenient.ratio_interval(0.05)
    assert 1 < lower < 1.4 < upper < 2


def test_nothing_is_judged_before_the_incumbent_is_known():
    """The first fifty pairs set the threshold and count for nothing."""
    variable = feed(exceedances(), [1.0] * 49, [2.0] * 49)
    assert (variable.mean.n, variable._thresholds.current) == (0, None)
    assert order_log_e(variable) == pytest.approx(0.0, abs=1e-12)
    assert feed(exceedances(0.5), [1.0] * 50, [2.0] * 50).ratio_interval(0.05) == (0.0, math.inf)


def test_states_stay_small(rng):
    """The counts of 100,000 pairs for the ratio, and the thresholds, in at most 10 kB of JSON."""
    state = feed(exceedances(), *lognormal_pairs(rng, 100_000)).to_state()
    assert len(json.dumps(state | {"means": []})) <= 10_000


def test_sketch_quantiles_are_within_one_percent(rng):
    """Against the sorted values, from microseconds to days."""
    for scale in (1e-6, 1.0, 1e5):
        values = scale * rng.lognormal(0, 0.8, 5_000)
        sketch = QuantileSketch()
        sketch.extend(values)
        levels = (0.01, 0.5, 0.95, 0.99)
        exact = np.quantile(values, levels, method="inverted_cdf")
        np.testing.assert_allclose(sketch.quantiles(levels), exact, rtol=0.0101)


@given(st.lists(st.integers(0, 90), max_size=6))
@settings(max_examples=40, deadline=None)
def test_thresholds_do_not_depend_on_how_the_stream_is_cut(cuts):
    """One by one, in batches or at once: each pair meets the same thresholds."""
    values = np.random.default_rng(4).lognormal(0, 0.8, 90)

    def met(parts):
        thresholds, seen = PredictableQuantiles((0.5, 0.9)), []
        for part in parts:
            for stretch, tau in thresholds.advance(part):
                seen += [None if tau is None else tuple(tau)] * (stretch.stop - stretch.start)
        return seen

    assert met(np.split(values, sorted(cuts))) == met([values])


def test_a_threshold_knows_the_past_only():
    """Changing a value never changes the thresholds of earlier pairs or its own."""
    values = np.random.default_rng(4).lognormal(0, 0.8, 300)
    changed = values.copy()
    changed[200:] *= 100

    def met(stream):
        return [
            tau
            for stretch, tau in PredictableQuantiles((0.5,)).advance(stream)
            for _ in range(stretch.start, stretch.stop)
        ]

    first, second = met(values), met(changed)
    assert first[:201] == second[:201]
    assert first[-1] != second[-1]
    assert first[:WARMUP] == [None] * WARMUP
    assert first[WARMUP] is not None


def test_state_resumes_in_the_middle(rng):
    """Through JSON and on, the same thresholds follow."""
    values = rng.lognormal(0, 0.8, 400)
    whole, part = PredictableQuantiles((0.5, 0.95)), PredictableQuantiles((0.5, 0.95))
    list(whole.advance(values))
    list(part.advance(values[:170]))
    part = PredictableQuantiles.from_state(json.loads(json.dumps(part.to_state())))
    list(part.advance(values[170:]))
    assert part.to_state() == whole.to_state()


def test_unusable_levels_and_states_are_refused():
    """Levels outside (0, 1) and damaged states raise."""
    with pytest.raises(StatsInputError, match="level"):
        PredictableQuantiles((1.0,))
    with pytest.raises(StatsInputError, match="level"):
        PredictableQuantiles(())
    for damage in (
        {"sketch": {"n": 1, "steps": pack(np.ones(1)), "counts": pack(np.zeros(1))}},
        {"current": [1.0, 2.0]},
        {"current": [math.inf]},
        {"v": 9},
    ):
        with pytest.raises(StatsInputError):
            PredictableQuantiles.from_state(PredictableQuantiles((0.5,)).to_state() | damage)


def decided(arms, *, level=0.95, ratio=1.2, n=1_000, streams=60):
    """Share of streams that are at some look proven to hold, and to be broken; a failed run has 30 seconds."""
    holds = breaks = 0
    for seed in range(streams):
        incumbent, candidate = arms(np.random.default_rng(seed), n)
        variable = exceedances(level, ratio=ratio, failure=30.0)
        proven = set()
        for part in np.split(np.arange(n), range(100, n, 50)):
            feed(variable, incumbent[part], candidate[part])
            if variable.mean.log_e(0.0, "less") >= math.log(20) and variable.surely(worse=False):
                proven.add("holds")
            if variable.mean.log_e(0.0, "greater") >= math.log(20) and variable.surely(worse=True):
                proven.add("breaks")
        holds, breaks = holds + ("holds" in proven), breaks + ("breaks" in proven)
    return holds / streams, breaks / streams


def whole_seconds(ratio):
    def arms(rng, n):
        query = 3 * rng.lognormal(0, 0.5, n)
        return [scale * np.ceil(query * rng.lognormal(0, 0.3, n)) for scale in (1.0, ratio)]

    return arms


def three_values(ratio):
    return lambda rng, n: [scale * (1.0 + rng.integers(0, 3, n)) for scale in (1.0, ratio)]


def one_value(ratio):
    return lambda _, n: [np.full(n, 1.0), np.full(n, ratio)]


def failing(share, ratio):
    def arms(rng, n):
        return [np.where(rng.random(n) < share, 30.0, scale * rng.lognormal(0, 0.4, n)) for scale in (1.0, ratio)]

    return arms


def heaps(slow, candidate):
    """Most of the incumbent's take one second, a part ten; the candidate's always the same."""
    return lambda rng, n: [np.where(rng.random(n) < slow, 10.0, 1.0), np.full(n, candidate)]


@pytest.mark.parametrize(
    ("arms", "settings"),
    [
        (whole_seconds(1.2), {}),
        (whole_seconds(2.0), {"ratio": 2.0}),
        (three_values(1.2), {}),
        (three_values(1.2), {"level": 0.5}),
        (one_value(1.2), {}),
        (failing(0.03, 1.2), {}),
        (failing(0.05, 1.2), {}),
        (failing(0.08, 1.2), {"level": 0.5}),
    ],
)
def test_ties_and_failures_at_the_margin_prove_nothing(arms, settings):
    """Exactly as slow as is allowed: false proofs in either direction stay within 5 % at all looks."""
    holds, breaks = decided(arms, **settings)
    assert max(holds, breaks) <= 0.05


@pytest.mark.parametrize("arms", [whole_seconds(1.0), three_values(1.0), one_value(1.0), one_value(0.5)])
def test_tied_equals_are_proven_to_hold(arms):
    """Equal arms, however many of their values tie at the quantile."""
    holds, breaks = decided(arms, n=1_700)
    assert holds >= 0.9
    assert breaks == 0


@pytest.mark.parametrize("arms", [whole_seconds(1.7), three_values(1.5), one_value(1.3)])
def test_tied_and_slower_is_proven_to_be_broken(arms):
    """Beyond the allowance by more than a tie."""
    holds, breaks = decided(arms)
    assert holds == 0
    assert breaks >= 0.9


@pytest.mark.parametrize(("slow", "broken"), [(0.03, True), (0.045, True), (0.06, False), (0.1, False)])
def test_a_quantile_between_two_heaps_is_no_proof(slow, broken):
    """The incumbent's own p95 is one second or ten; the candidate's two seconds are right for one of them only."""
    holds, breaks = decided(heaps(slow, 2.0))
    assert (holds if broken else breaks) <= 0.05


def test_a_failed_run_is_slower_than_any_that_answered():
    """Beyond every threshold, also where its score, the cap, is smaller than what is allowed; equals prove nothing."""
    rng = np.random.default_rng(3)
    seconds = rng.lognormal(3.3, 0.2, 600)  # about 27 seconds, with a cap of 30
    crashed = np.where(rng.random(600) < 0.3, 30.0, seconds)
    variable = feed(exceedances(ratio=1.5, failure=30.0), seconds, crashed)
    assert variable.mean.log_e(0.0, "greater") > math.log(20)
    both = feed(exceedances(ratio=1.5, failure=30.0), crashed, crashed)
    assert both.among_failures
    assert both.mean.mean == 0


def test_cells_are_those_that_a_search_finds() -> None:
    """Ratios anywhere, on edges, and next to them on either side."""
    anywhere = np.random.default_rng(1).lognormal(0, 2, 20_000)
    nearby = [np.nextafter(_EDGES, 0), np.nextafter(_EDGES, 99), [0.0, 5e-324, 1e300, np.inf]]
    ratios = np.concatenate([anywhere, _EDGES, *nearby])
    assert _cells(ratios).tolist() == np.searchsorted(_EDGES, ratios, side="left").tolist()
