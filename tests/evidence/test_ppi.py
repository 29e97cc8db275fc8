import json
import math

import numpy as np
import pytest
import truescore
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.ppi import PredictionPowered, ppi_mean, reach


def judged_pairs(n, share=0.2, seed=5):
    """A judge right in 80 % of the pairs and lenient to the candidate, and labels on a share of them."""
    rng = np.random.default_rng(seed)
    truth = rng.choice([-1.0, 0.0, 1.0], n, p=[0.09, 0.79, 0.12])
    judge = np.where(rng.random(n) < 0.8, truth, rng.choice([0.0, 1.0], n))
    return judge, truth, rng.random(n) < share


def test_fixed_interval_equals_the_reference(vectors):
    """Weight, mean and interval against ppi_py, estimated, with full trust and with none."""
    case = vectors["ppi_pp"]
    arguments = (case["input"]["y"], case["input"]["f"], case["input"]["f_unlabeled"])
    expected, tol = case["expected"], case["tol"]
    auto = ppi_mean(*arguments)
    assert auto.weight == pytest.approx(expected["lam"], abs=tol)
    assert auto.mean == pytest.approx(expected["point_auto"], abs=tol)
    assert (auto.lower, auto.upper) == pytest.approx(expected["ci_auto"], abs=tol)
    for weight, name in ((1.0, "ci_lam1"), (0.0, "ci_lam0")):
        fixed = ppi_mean(*arguments, weight=weight)
        assert (fixed.lower, fixed.upper) == pytest.approx(expected[name], abs=tol)


def test_fixed_interval_is_that_of_truescore():
    """Without any file: the same estimate to 0.002 and width to 3 % at a weight given beforehand."""
    judge, truth, labelled = judged_pairs(2_000)
    ours = ppi_mean(truth[labelled], judge[labelled], judge[~labelled], weight=0.5)
    index = np.flatnonzero(labelled)
    theirs = truescore.ppi_estimate(judge, truth[index], index, lambda_=0.5)
    assert ours.mean == pytest.approx(theirs.point, abs=0.002)
    assert ours.upper - ours.lower == pytest.approx(theirs.high - theirs.low, rel=0.03)


def test_fewer_than_a_hundred_labels_are_marked():
    """The interval is given, but not trusted."""
    judge, truth, _ = judged_pairs(300)
    assert not ppi_mean(truth[:99], judge[:99], judge[99:]).trustworthy
    assert ppi_mean(truth[:100], judge[:100], judge[100:]).trustworthy


def test_a_judge_that_never_varies_is_not_trusted():
    """Weight zero, and the interval of the labels alone."""
    _, truth, _ = judged_pairs(300)
    assert ppi_mean(truth[:120], np.zeros(120), np.zeros(180)).weight == 0.0
    tracker = PredictionPowered(0.5).extend(np.zeros(300), truth, labelled=np.ones(300, dtype=bool))
    assert tracker.weight == 0.0


def test_with_every_pair_labelled_it_is_histbet_on_the_labels():
    """At p = 1 the pseudo-score is the label whatever the judge says."""
    judge, truth, _ = judged_pairs(400)
    tracker = PredictionPowered(1.0).extend(judge, truth, labelled=np.ones(400, dtype=bool))
    assert tracker.log_e(0.0, "greater") == pytest.approx(HistBet.of(truth).log_e(0.0, "greater"), abs=1e-9)


def test_pseudo_scores_follow_their_definition():
    """The mean is that of w F + labelled / p (Y - w F) with weights from the past only."""
    judge, truth, labelled = judged_pairs(400)
    tracker, total = PredictionPowered(0.2), 0.0
    for f, y, has in zip(judge, truth, labelled, strict=True):
        w = tracker.weight
        total += w * f + (y - w * f) / 0.2 * has
        tracker.extend([f], [y], labelled=np.array([has]))
    whole = PredictionPowered(0.2).extend(judge, truth, labelled=labelled)
    assert whole._evidence.mean == pytest.approx(total / 400, abs=1e-9)
    assert 0 < whole.weight <= 1
    assert whole.labels == labelled.sum()


@given(st.lists(st.integers(0, 300), max_size=5))
@settings(max_examples=20, deadline=None)
def test_batches_and_resuming_change_nothing(cuts):
    """Cut anywhere and passed through JSON, to 1e-9."""
    judge, truth, labelled = judged_pairs(300)
    whole, parts = PredictionPowered(0.2).extend(judge, truth, labelled=labelled), PredictionPowered(0.2)
    for f, y, has in zip(*(np.split(a, sorted(cuts)) for a in (judge, truth, labelled)), strict=True):
        parts = PredictionPowered.from_state(json.loads(json.dumps(parts.extend(f, y, labelled=has).to_state())))
    assert parts.log_e(0.0, "greater") == pytest.approx(whole.log_e(0.0, "greater"), abs=1e-9)
    assert parts.weight == pytest.approx(whole.weight, abs=1e-9)


def test_merged_streams_add_their_pairs():
    """Two workers' pairs in one sequence, which covers the truth though the judge does not."""
    one, two = (
        PredictionPowered(0.2).extend(f, y, labelled=has)
        for f, y, has in (judged_pairs(4_000, seed=1), judged_pairs(4_000, seed=2))
    )
    merged = one.merge(two)
    assert merged.n == 8_000
    lower, upper = merged.interval(0.05)
    assert lower < 0.03 < upper
    assert judged_pairs(4_000, seed=1)[0].mean() > upper


def test_unusable_input_is_refused():
    """Scores out of range, NaN, missing shapes, impossible shares and damaged states raise."""
    with pytest.raises(StatsInputError, match="labelled_share"):
        PredictionPowered(0.0)
    for f, y, has in (([2.0], [0.0], [True]), ([0.0], [2.0], [True]), ([0.0], [math.nan], [False]), ([0.0], [0.0], [])):
        with pytest.raises(StatsInputError):
            PredictionPowered(0.5).extend(f, y, labelled=np.array(has, dtype=bool))
    with pytest.raises(StatsInputError, match="2 labels"):
        ppi_mean([0.1], [0.1], [0.1])
    with pytest.raises(StatsInputError):
        PredictionPowered(0.5).merge(PredictionPowered(0.2))
    state = PredictionPowered(0.5).to_state()
    with pytest.raises(StatsInputError, match="numbers"):
        PredictionPowered.from_state(state | {"trust": state["trust"] | {"moments": [0.0]}})


def test_each_pair_may_have_a_chance_of_its_own():
    """Hard pairs are drawn more often, and the mean is that of all; a chance below the least is refused."""
    judge, truth, _ = judged_pairs(20_000, seed=9)
    chance = np.where(judge == 0, 0.1, 0.8)
    labelled = np.random.default_rng(2).random(judge.size) < chance
    tracker = PredictionPowered(0.1).extend(judge, truth, labelled=labelled, chance=chance)
    lower, upper = tracker.interval(0.05)
    assert lower < truth.mean() < upper
    assert abs(truth[labelled].mean() - truth.mean()) > (upper - lower) / 4
    with pytest.raises(StatsInputError, match="chance"):
        PredictionPowered(0.2).extend(judge, truth, labelled=labelled, chance=chance)


def test_no_pair_reaches_beyond_the_range():
    """The largest Z at every corner of scores, cheap scores, weights and chances is that of the least chance."""
    corners = [
        abs(w * f + drawn / p * (y - w * f))
        for p in (0.1, 0.5, 1.0)
        for drawn in (0, 1)
        for w in (0.0, 1.0)
        for f in (-1.0, 1.0)
        for y in (-1.0, 1.0)
    ]
    assert max(corners) == pytest.approx(reach(0.1))
