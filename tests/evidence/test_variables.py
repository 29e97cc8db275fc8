"""The bounded variables behind the gates, against the engines and the plain formulas they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from shadoweval.evidence.capped import CappedRatio
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.quantile_sketch import PredictableQuantiles
from shadoweval.evidence.quantiles import Exceedances
from shadoweval.evidence.returning import Generations
from shadoweval.evidence.variables import Difference, Noise, Relative, Scale, Scores
from shadoweval.evidence.views import Places

LATENCY = Scale(0.0, None, higher_is_better=False)
RECALL = Scale()


def scores(incumbent, candidate, scored=None, noise=None) -> Scores:
    known = np.ones(len(incumbent), dtype=bool) if scored is None else np.asarray(scored)
    return Scores(
        incumbent=np.asarray(incumbent, dtype=float),
        candidate=np.asarray(candidate, dtype=float),
        incumbent_scored=known,
        candidate_scored=np.ones(len(incumbent), dtype=bool),
        noise=None if noise is None else np.asarray(noise, dtype=float),
        noise_scored=None if noise is None else np.ones(len(incumbent), dtype=bool),
    )


@pytest.fixture
def seconds():
    rng = np.random.default_rng(5)
    return np.exp(rng.normal(0, 0.8, 900)), 1.1 * np.exp(rng.normal(0, 0.8, 900))


@pytest.mark.parametrize("ratio", [1.0, 1.2])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_an_exceedance_counts_which_arm_alone_lies_beyond(seconds, ratio, level) -> None:
    """Fed in uneven parts, X counts what one pass over the raw pairs with the same thresholds counts."""
    incumbent, candidate = seconds
    variable, thresholds = Exceedances(LATENCY, level, watched=(level,), ratio=ratio), PredictableQuantiles((level,))
    for part in (slice(0, 30), slice(30, 31), slice(31, 900)):
        variable.add_independent(scores(incumbent[part], candidate[part]))
    x = []
    for part, tau in thresholds.advance(incumbent):
        for served, new in zip(incumbent[part], candidate[part], strict=True) if tau is not None else ():
            low, high, tie = tau[0]
            beyond = [
                1.0 if value > limit * high else tie if value > limit * low else 0.0
                for value, limit in ((new, ratio), (served, 1.0))
            ]
            x.append(beyond[0] - beyond[1])
    by_hand = HistBet.of(x)
    assert variable.mean.counts.tolist() == by_hand.counts.tolist()
    assert variable.mean.log_e(0.0, "greater") == pytest.approx(by_hand.log_e(0.0, "greater"))


def test_pairs_without_a_re_run_do_not_move_the_thresholds(seconds) -> None:
    """Where the incumbent has no score X is unknown, and the thresholds come from the others alone."""
    incumbent, candidate = seconds
    kept = np.arange(900) % 3 > 0
    all_rows, only_kept = (Exceedances(LATENCY, 0.9, watched=(0.9,)) for _ in range(2))
    values, known = all_rows.measure(scores(np.where(kept, incumbent, 0.0), candidate, kept))
    fewer, known_fewer = only_kept.measure(scores(incumbent[kept], candidate[kept]))
    assert not known[~kept].any()
    assert values[:, known].tolist() == fewer[:, known_fewer].tolist()


def test_a_mean_ratio_is_at_most_r_exactly_when_x_is_positive() -> None:
    """(r * i - c) / cap has mean 0 where mean(c) = r * mean(i) and no value reaches the cap."""
    incumbent = np.array([1.0, 2.0, 3.0, 2.0])
    candidate = np.array([1.1, 2.2, 3.3, 2.2])
    variable = CappedRatio(LATENCY, 10.0, ratio=1.1)
    values, known = variable.measure(scores(incumbent, candidate))
    assert known.all()
    assert values.mean() == pytest.approx(0.0)
    assert variable.measure(scores([1.0], [50.0]))[0][0, 0] == pytest.approx((1.1 - 10.0) / 10.0)
    assert (variable.cut.candidate, variable.cut.incumbent, variable.cut.largest) == (1, 0, 50.0)


def test_a_cap_is_taken_up_where_it_was() -> None:
    """A resumed variable goes on as if it had never stopped."""
    rng = np.random.default_rng(3)
    incumbent, candidate = rng.lognormal(0, 1.5, (2, 300))
    whole, before, after = (CappedRatio(LATENCY, None, ratio=1.1) for _ in range(3))
    whole.add_independent(scores(incumbent, candidate))
    before.add_independent(scores(incumbent[:120], candidate[:120]))
    after.restore(before.to_state())
    after.add_independent(scores(incumbent[120:], candidate[120:]))
    assert after.to_state()["limit"] == whole.to_state()["limit"]
    assert after.to_state()["cut"] == whole.to_state()["cut"]
    assert after.mean.log_e(0.0, "less") == pytest.approx(whole.mean.log_e(0.0, "less"))


def test_a_relative_difference_is_bounded_and_oriented() -> None:
    """Twice as slow is -0.5, half as slow +0.5, both zero is 0."""
    values, _ = Relative(LATENCY).measure(scores([1.0, 2.0, 0.0, 0.0], [2.0, 1.0, 0.0, 5.0]))
    assert values[0].tolist() == [-0.5, 0.5, 0.0, -1.0]


def test_noise_compares_the_incumbent_with_itself() -> None:
    """Re-run - served, never the candidate."""
    values, known = Noise(RECALL).measure(scores([0.4, 1.0], [0.0, 0.0], noise=[0.6, 1.0]))
    assert values[0].tolist() == pytest.approx([0.2, 0.0])
    assert known.all()
    assert not Noise(RECALL).measure(scores([1.0], [1.0]))[1].any()


def test_visits_of_the_same_users_are_exact_for_what_they_were_to_meet() -> None:
    """40 users daily, some failing always, some now and then, 5 % of all visits: "no worse by 0.05" is not proven."""
    false = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        harm = rng.permutation(np.concatenate([np.ones(1), np.full(10, 0.1), np.zeros(29)]))
        variable = Difference(Scale())
        variable.visits = True
        proven = False
        for day in range(60):
            failed = (rng.random(40) < harm).astype(float)
            which = Generations(np.full(40, day + 1), np.full(40, day), np.full(40, day - 1))
            variable.add_clusters(-failed[np.newaxis], None, Places(which, first_day=0))
            proven |= variable.mean.log_e(-0.05, "greater") >= np.log(20)
        assert variable.mean.n == 40 * 60
        false += proven
    assert false <= 5
