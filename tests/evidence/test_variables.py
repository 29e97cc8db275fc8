"""The bounded variables behind the gates, against the engines and the plain formulas they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from shadoweval.evidence.bets import discordant_log_e
from shadoweval.evidence.quantiles import Exceedances, PredictableQuantiles
from shadoweval.evidence.variables import AutoCap, CappedRatio, Noise, Relative, Scale, Scores

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
        variable.add(scores(incumbent[part], candidate[part]), np.ones(part.stop - part.start, dtype=bool))
    more = less = n = 0
    for part, tau in thresholds.advance(incumbent):
        if tau is not None:
            slow, was_slow = candidate[part] > ratio * tau[0], incumbent[part] > tau[0]
            more, less = more + int((slow & ~was_slow).sum()), less + int((was_slow & ~slow).sum())
            n += part.stop - part.start
    evidence = variable.mean
    assert (evidence.counts[-1], evidence.counts[0], evidence.n) == (more, less, n)
    assert evidence.log_e(0.0, "greater") == pytest.approx(discordant_log_e([more], [less])[0])
    assert evidence.log_e(0.0, "less") == pytest.approx(discordant_log_e([less], [more])[0])


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
    assert variable.capped == 1


def test_a_cap_nobody_declared_comes_from_the_first_fifty() -> None:
    """Ten times the largest of the first 50 incumbents; those pairs are not judged, whatever the batches."""
    rng = np.random.default_rng(1)
    values = rng.random(200)
    whole, parts = AutoCap(None), AutoCap(None)
    known = whole.advance(scores(values, values))
    pieces = [parts.advance(scores(values[a:b], values[a:b])) for a, b in ((0, 20), (20, 49), (49, 50), (50, 200))]
    assert known.tolist() == [False] * 50 + [True] * 150
    assert np.concatenate(pieces).tolist() == known.tolist()
    assert whole.cap == parts.cap == pytest.approx(10 * values[:50].max())


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
