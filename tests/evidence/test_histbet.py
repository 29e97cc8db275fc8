import itertools
import json
import math
import time

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shadoweval.evidence.bets import FRACTIONS, LOG_WEIGHTS
from shadoweval.evidence.histbet import HistBet, count_groups, place, spread
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.states import pack

scores = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1, 1, allow_subnormal=False))
sides = st.sampled_from(["greater", "less"])
margins = st.sampled_from([-0.5, -0.02, 0.0, 0.013, 0.4])


def exact_log_e(values, margin, side, lo=-1.0, hi=1.0):
    """The definition, over the raw scores."""
    relative = [(x - lo) / (margin - lo) if side == "greater" else (hi - x) / (hi - margin) for x in values]
    logs = [
        w + math.fsum(math.log1p(f * (y - 1)) for y in relative) for f, w in zip(FRACTIONS, LOG_WEIGHTS, strict=True)
    ]
    top = max(logs)
    return top + math.log(math.fsum(math.exp(v - top) for v in logs))


def test_bets_are_the_published_prior(vectors):
    """The twenty fractions and their weights equal mpmath's to 1e-9."""
    case = vectors["bet_prior"]
    assert case["expected"]["fractions"] == pytest.approx(FRACTIONS.tolist(), abs=case["tol"])
    assert case["expected"]["weights"] == pytest.approx(np.exp(LOG_WEIGHTS).tolist(), abs=case["tol"])


def test_log_e_equals_brute_force_in_forty_digits(vectors):
    """On scores that lie on the grid, the histogram loses nothing against mpmath over the raw scores."""
    case = vectors["histbet_lattice"]
    evidence = HistBet.of(case["input"]["x"])
    assert evidence.mean == pytest.approx(case["expected"]["mean"])
    for question, expected in case["expected"]["log_e"].items():
        side, margin = question.split("@")
        assert evidence.log_e(float(margin), side) == pytest.approx(expected, abs=case["tol"])


def test_interval_equals_bisection_in_forty_digits(vectors):
    """The confidence sequence is the inversion of the test, to the vector's tolerance."""
    case = vectors["histbet_cs"]
    values, times = case["input"]["x_repeat"]
    lower, upper = HistBet.of(values * times).interval(case["input"]["alpha"])
    assert lower == pytest.approx(case["expected"]["lower"], abs=case["tol"])
    assert upper == pytest.approx(case["expected"]["upper"], abs=case["tol"])


def test_linear_binning_loses_at_most_a_hundredth_on_the_vector(vectors):
    """Off-grid scores cost at most 0.01 nats, and never gain."""
    case = vectors["histbet_linear_binning"]
    evidence = HistBet.of(case["input"]["x"])
    assert 0 <= case["expected"]["exact_log_e_less_0"] - evidence.log_e(0.0, "less") <= 0.01
    assert 0 <= case["expected"]["exact_log_e_greater_m02"] - evidence.log_e(-0.02, "greater") <= 0.01


def test_merge_equals_the_vector(vectors):
    """Two merged parts carry the evidence of the whole."""
    case = vectors["histbet_merge"]
    merged = HistBet.of(case["input"]["a"]).merge(HistBet.of(case["input"]["b"]))
    assert merged.log_e(0.0, "less") == pytest.approx(case["expected"]["log_e_less_0"], abs=case["tol"])


def test_known_number_without_any_file():
    """Seven straight losses: log e = log sum w_j (1 + f_j)^7, here from 30-digit arithmetic in mpmath."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed")
    fractions = [mpmath.mpf("0.005") * mpmath.mpf(190) ** (mpmath.mpf(k) / 19) for k in range(20)]
    weights = [mpmath.exp(-(mpmath.log(f / mpmath.mpf("0.3")) ** 2) / 2) for f in fractions]
    e = sum(w * (1 + f) ** 7 for w, f in zip(weights, fractions, strict=True)) / sum(weights)
    assert HistBet.of([-1.0] * 7).log_e(0.0, "less") == pytest.approx(float(mpmath.log(e)), abs=1e-12)


@given(scores, margins, sides)
@settings(max_examples=60, deadline=None)
def test_binned_evidence_never_exceeds_the_exact(values, margin, side):
    """Linear binning only lowers the e-value."""
    assert HistBet.of(values).log_e(margin, side) <= exact_log_e(values, margin, side) + 1e-8


@given(scores, st.randoms(use_true_random=False), st.integers(0, 40), margins, sides)
@settings(max_examples=60, deadline=None)
def test_one_by_one_batched_merged_permuted_and_resumed_agree(values, random, cut, margin, side):
    """However the same scores arrive, the evidence is the same to 1e-9."""
    whole = HistBet.of(values)
    one_by_one = HistBet()
    for value in values:
        one_by_one.extend([float(value)])
    merged = HistBet.of(values[:cut]).merge(HistBet.of(values[cut:]))
    shuffled = HistBet.of(random.sample(values.tolist(), values.size))
    resumed = HistBet.from_state(json.loads(json.dumps(HistBet.of(values[:cut]).to_state()))).extend(values[cut:])
    for other in (one_by_one, merged, shuffled, resumed):
        assert other.log_e(margin, side) == pytest.approx(whole.log_e(margin, side), abs=1e-9)
        assert other.n == whole.n
        assert other.mean == pytest.approx(whole.mean, abs=1e-9)
        assert other.squares == pytest.approx(whole.squares, abs=1e-9)


def test_state_survives_json_exactly(rng):
    """A resumed accumulator is equal to the last bit."""
    evidence = HistBet.of(rng.uniform(-1, 1, 500))
    again = HistBet.from_state(json.loads(json.dumps(evidence.to_state())))
    assert again.to_state() == evidence.to_state()
    assert again.log_e(0.0, "less") == evidence.log_e(0.0, "less")


def test_state_is_small_whatever_the_scores(rng):
    """Even a million continuous scores fit in 4 kB of JSON."""
    evidence = HistBet.of(rng.uniform(-1, 1, 1_000_000))
    assert len(json.dumps(evidence.to_state())) <= 4_000


@pytest.mark.parametrize("margin", [-0.1, 0.0, 0.2])
@pytest.mark.parametrize("side", ["greater", "less"])
def test_mean_of_the_e_value_is_one_at_the_margin(margin, side):
    """Exact enumeration of all 2^12 streams of a two-point score with its mean on the margin."""
    up, down = 0.6, -0.4
    chance = (margin - down) / (up - down)
    for n in (1, 5, 12):
        total = math.fsum(
            math.comb(n, k) * chance**k * (1 - chance) ** (n - k) * math.exp(evidence.log_e(margin, side))
            for k in range(n + 1)
            for evidence in [HistBet.of([up] * k + [down] * (n - k))]
        )
        assert total == pytest.approx(1.0, abs=1e-9)


def test_mean_of_the_e_value_is_below_one_inside_the_null():
    """Exact enumeration over three-point streams whose mean lies on the null's side."""
    points, chances = [-1.0, 0.0, 1.0], [0.3, 0.5, 0.2]
    total = 0.0
    for stream in itertools.product(range(3), repeat=6):
        e = math.exp(HistBet.of([points[i] for i in stream]).log_e(0.0, "greater"))
        total += e * math.prod(chances[i] for i in stream)
    assert total < 1


def test_bounds_are_the_outermost_rejected_margins(rng):
    """Just outside a bound is rejected at its level, just inside is not."""
    evidence = HistBet.of(np.clip(rng.normal(-0.05, 0.3, 800), -1, 1))
    needed = math.log(1 / 0.025)
    lower, upper = evidence.interval(0.05)
    assert lower < evidence.mean < upper
    assert evidence.log_e(lower, "greater") >= needed > evidence.log_e(lower + 1e-5, "greater")
    assert evidence.log_e(upper, "less") >= needed > evidence.log_e(upper - 1e-5, "less")


def test_bounds_without_evidence_are_the_ends_of_the_range():
    """Nothing seen, or nothing against it, excludes nothing."""
    assert HistBet().interval(0.05) == (-1.0, 1.0)
    assert HistBet.of([1.0] * 3).bound(0.05, "upper") == 1.0
    assert HistBet.of([-1.0] * 500).bound(0.05, "lower") == -1.0


def test_interval_is_as_narrow_as_the_betting_interval_of_ville(rng):
    """On 2,000 scores it covers the mean and is at most as wide as ville's betting sequence, times 1.1."""
    values = np.clip(rng.normal(0.02, 0.25, 2_000), -1, 1)
    theirs = ville.BettingCS(alpha=0.05, bounds=(-1.0, 1.0))
    theirs.update(values)
    interval = theirs.interval()
    low, high = (float(interval[0]), float(interval[1]))
    lower, upper = HistBet.of(values).interval(0.05)
    assert upper - lower <= 1.1 * (high - low)
    assert max(lower, low) < 0.02 < min(upper, high)


def test_interval_lies_inside_the_empirical_bernstein_interval(vectors):
    """On the vector's scores it is narrower than confseq's predictable plug-in, which is valid too."""
    case = vectors["predmix_eb_cs"]
    lower, upper = HistBet.of(case["input"]["x"], lo=0.0, hi=1.0).interval(case["input"]["alpha"])
    assert case["expected"]["lower_last"] < lower < upper < case["expected"]["upper_last"]


def test_evidence_agrees_with_the_hedged_capital_process(vectors):
    """On the vector's scores the two-sided evidence is within half a nat of confseq's betting martingale."""
    case = vectors["wsr_betting_mart"]
    evidence = HistBet.of(case["input"]["x"], lo=0.0, hi=1.0)
    both = np.logaddexp(evidence.log_e(0.6, "greater"), evidence.log_e(0.6, "less")) - math.log(2)
    assert both == pytest.approx(case["expected"]["log_capital_last"], abs=0.5)


def test_it_rejects_before_the_empirical_bernstein_boundary(vectors):
    """At 50 units of squared deviation its bound is nearer to the sum than confseq's gamma-exponential boundary."""
    boundary = vectors["gamma_exponential_log_mixture"]["expected"]["bound_v50_alpha025"]
    evidence = HistBet.of([0.35, -0.35] * 204)  # 408 * 0.35^2 = 50
    assert evidence.n * (evidence.mean - evidence.bound(0.025, "lower")) < boundary


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0001, 1.5])
def test_scores_that_would_break_the_guarantee_are_refused(bad):
    """NaN and values out of range raise, one by one and in a batch, and leave nothing behind."""
    evidence = HistBet.of([0.5])
    with pytest.raises(StatsInputError):
        evidence.extend([bad])
    with pytest.raises(StatsInputError):
        evidence.extend([0.1, bad])
    with pytest.raises(StatsInputError):
        HistBet.of([bad])
    assert evidence.n == 1
    assert evidence.counts.sum() == 1


@pytest.mark.parametrize(("margin", "side"), [(-1.0, "greater"), (1.0, "less"), (1.2, "greater"), (math.nan, "less")])
def test_margins_that_leave_nothing_to_bet_against_are_refused(margin, side):
    """A margin at the wrong edge, outside, or NaN raises with advice."""
    with pytest.raises(StatsInputError, match="margin"):
        HistBet.of([0.1]).log_e(margin, side)


def test_unusable_settings_and_merges_are_refused():
    """Empty ranges, other grids, means of nothing and fractional repeats raise."""
    with pytest.raises(StatsInputError, match="lo < hi"):
        HistBet(1.0, 1.0)
    with pytest.raises(StatsInputError, match="range and bins"):
        HistBet().merge(HistBet(bins=100))
    with pytest.raises(StatsInputError, match="no mean"):
        _ = HistBet().mean
    with pytest.raises(StatsInputError, match="two scores"):
        _ = HistBet.of([0.1]).variance


@pytest.mark.parametrize(
    "damage",
    [
        {"n": 4},
        {"v": 2},
        {"counts": "!"},
        {"total": math.nan},
        {"kind": "MeanRatio"},
        {"counts": pack(np.zeros(5))},
        {"counts": pack(np.zeros(10_000_000))},
        {"lo": None},
        {"bins": True},
    ],
)
def test_damaged_states_are_refused(damage):
    """A state that is cut, forged or of another version raises instead of lying."""
    state = HistBet.of([0.1, 0.2]).to_state() | damage
    with pytest.raises(StatsInputError):
        HistBet.from_state(state)


def test_variance_is_the_sample_variance(rng):
    """Against numpy."""
    values = rng.uniform(-1, 1, 300)
    assert HistBet.of(values).variance == pytest.approx(values.var(ddof=1))


@given(st.lists(st.floats(-1, 1), max_size=50))
def test_binning_keeps_the_number_and_the_sum_of_scores(scores):
    """A score between two nodes counts for both in proportion."""
    values = np.array(scores, dtype=float)
    counts = spread(*place(values, -1.0, scale=100.0), nodes=201)
    assert (counts >= 0).all()
    assert counts.sum() == pytest.approx(values.size, abs=1e-9)
    assert counts @ np.linspace(-1, 1, 201) == pytest.approx(values.sum(), abs=1e-9)


def test_float_error_does_not_push_a_score_off_its_node():
    """0.8 - 0.6 is the node of 0.2, and both ends of the range are nodes."""
    counts = spread(*place(np.array([0.8 - 0.6, 0.1 + 0.1, 1.0, -1.0]), -1.0, scale=100.0), nodes=201)
    assert counts[[0, 120, 200]].tolist() == [1.0, 2.0, 1.0]
    assert counts.sum() == 4.0


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(-1, 3)), max_size=60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_group_has_the_histogram_of_its_own_scores(rows, on_grid):
    """One pass equals one HistBet per group, for scores on and off the grid."""
    values = np.array([round(v, 1) if on_grid else v for v, _ in rows])
    groups = np.array([g for _, g in rows], dtype=np.int64)
    made = [HistBet() for _ in range(4)]
    count_groups(values, groups, [[each] for each in made])
    for group, evidence in enumerate(made):
        alone = HistBet.of(values[groups == group])
        np.testing.assert_allclose(evidence.counts, alone.counts, atol=1e-9)
        assert evidence.n == alone.n
        assert evidence.total == pytest.approx(alone.total, abs=1e-9)
        assert evidence.squares == pytest.approx(alone.squares, abs=1e-9)


def test_several_attributes_sort_the_same_scores_anew(rng):
    """Rows of groups share one numbering, and each row covers all scores."""
    values, plan, country = rng.uniform(-1, 1, 200), rng.integers(0, 2, 200), rng.integers(2, 5, 200)
    made = [HistBet() for _ in range(5)]
    count_groups(values, np.stack([plan, country]), [[each] for each in made])
    assert sum(evidence.n for evidence in made) == 400
    assert made[3].log_e(0, "less") == pytest.approx(HistBet.of(values[country == 3]).log_e(0, "less"), abs=1e-9)


def test_a_histogram_of_several_groups_has_the_scores_of_all(rng):
    """A pair counts for each of its slices: histograms that overlap, some of them begun before, hold what is theirs."""
    values, groups = rng.uniform(-1, 1, 300), rng.integers(0, 3, 300)
    every, two, alone = HistBet.of([0.3]), HistBet(), HistBet.of([-0.7, 0.1])
    count_groups(values, groups, [[every, two], [every, alone], [two, every]])
    for evidence, before, of in ((every, [0.3], (0, 1, 2)), (two, [], (0, 2)), (alone, [-0.7, 0.1], (1,))):
        expected = HistBet.of(np.concatenate([before, values[np.isin(groups, of)]]))
        np.testing.assert_allclose(evidence.counts, expected.counts, atol=1e-9)
        assert evidence.n == expected.n
        assert (evidence.total, evidence.squares) == pytest.approx((expected.total, expected.squares), abs=1e-9)


def test_unusable_groups_are_refused():
    """A group without a place, of another length or not whole raises."""
    into = [[HistBet()], [HistBet()]]
    with pytest.raises(StatsInputError, match="number of groups"):
        count_groups([0.1], np.array([2]), into)
    with pytest.raises(StatsInputError, match="whole numbers"):
        count_groups([0.1], np.array([0, 1]), into)
    with pytest.raises(StatsInputError, match="whole numbers"):
        count_groups([0.1], np.array([0.5]), into)


def test_a_large_verdict_is_linear_work(rng):
    """Ten gates over twenty slices of 200,000 pairs take at most 60 passes of plain numpy over the same scores."""
    values = [rng.choice([-0.2, 0.0, 0.0, 0.2], 200_000) for _ in range(5)]
    values += [rng.uniform(-1, 1, 200_000) for _ in range(5)]
    groups = np.stack([rng.integers(5 * a, 5 * a + 5, 200_000) for a in range(4)])

    def clock(work):
        start = time.thread_time()
        work()
        return time.thread_time() - start

    def count():
        for each in values:
            count_groups(each, groups, [[HistBet()] for _ in range(20)])

    ours = min(clock(count) for _ in range(3))
    unit = min(clock(lambda: [np.sort(v) for v in values]) for _ in range(3))
    assert ours <= 60 * unit


@pytest.mark.parametrize("bins", [1, 8, 400, 4_000])
def test_a_coarser_grid_is_as_if_binned_anew(bins) -> None:
    """Joining the bins of a fine histogram gives what the scores give on the coarse one."""
    values = np.concatenate([np.random.default_rng(1).uniform(-1, 1, 500), [-1.0, 0.0, 1.0]])
    fine, coarse = HistBet.of(values, bins=4_000), HistBet.of(values, bins=bins)
    joined = fine.coarser(bins)
    assert joined.counts == pytest.approx(coarse.counts, abs=1e-6)
    assert (joined.n, joined.total, joined.squares) == (fine.n, fine.total, fine.squares)
    with pytest.raises(StatsInputError, match="can't be joined"):
        fine.coarser(3)
