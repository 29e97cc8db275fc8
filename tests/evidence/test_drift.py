import json
import math

import numpy as np
import pytest

from shadoweval.evidence.bets import FRACTIONS, LOG_WEIGHTS
from shadoweval.evidence.decay import DecayDetector
from shadoweval.evidence.drift import DriftDetector
from shadoweval.evidence.inputs import StatsInputError


def test_ranks_and_detector_equal_the_reference(vectors):
    """Online conformal p-values and the Shiryaev-Roberts statistic, with a bin for each score, against mpmath."""
    case = vectors["conformal_sr"]
    scores, us, known = case["input"]["scores"], case["input"]["u"], case["input"]["n_ref"]
    ordered = np.sort(np.unique(scores))
    detector = DriftDetector((ordered[1:] + ordered[:-1]) / 2)
    detector.learn(scores[:known])
    ps, path = [], []
    for score, u in zip(scores[known:], us[known:], strict=True):
        ps.append(detector.add(score, u))
        path.append(detector.statistic)
    expected = case["expected"]
    assert ps == pytest.approx(expected["p"], abs=1e-9)
    assert path[-1] == pytest.approx(expected["sr_last"], rel=1e-6)
    assert max(path) == pytest.approx(expected["sr_max"], rel=1e-6)
    assert path[19] == pytest.approx(expected["sr_at_20"], rel=1e-6)


def test_p_values_are_uniform_while_nothing_changes(rng):
    """Also for scores with ties: each decile gets its tenth of 4,000 p-values, and neighbours are independent."""
    scores = rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], 4_500, p=[0.1, 0.1, 0.1, 0.2, 0.2, 0.3])
    detector = DriftDetector.from_reference(scores[:500])
    ps = np.array([detector.add(s, u) for s, u in zip(scores[500:], rng.random(4_000), strict=True)])
    share = np.histogram(ps, bins=10, range=(0, 1))[0] / 4_000
    assert np.abs(share - 0.1).max() < 4 * math.sqrt(0.1 * 0.9 / 4_000)
    assert abs(np.corrcoef(ps[1:], ps[:-1])[0, 1]) < 4 / math.sqrt(4_000)
    assert not detector.alarmed


@pytest.mark.parametrize(("change", "within"), [(lambda z: z + 1.0, 150), (lambda z: 2.0 * z, 250)])
def test_a_shift_and_a_spread_are_found(rng, change, within):
    """One deviation up, or twice as wide, is found soon after it starts."""
    detector = DriftDetector.from_reference(rng.standard_normal(1_000))
    detector.extend(rng.standard_normal(2_000), rng.random(2_000))
    assert not detector.alarmed
    detector.extend(change(rng.standard_normal(1_000)), rng.random(1_000))
    assert detector.alarm_at is not None
    assert 2_000 < detector.alarm_at <= 2_000 + within


def test_alarm_level_is_the_horizon_over_alpha():
    """20,000 observations at 5 %: 400,000."""
    assert DriftDetector([0.0]).alarm_level == pytest.approx(400_000)
    assert DecayDetector(margin=0.0, horizon=1_000, alpha=0.01).alarm_level == pytest.approx(100_000)


def test_decay_statistic_follows_its_recursion(rng):
    """M = (M + 1) * growth per bettor, weighted, against a plain loop."""
    values, margin = rng.uniform(-1, 1, 80), 0.01
    bettors = [0.0] * 20
    for value in values:
        bettors = [(m + 1) * (1 - f + f * (1 - value) / (1 + margin)) for m, f in zip(bettors, FRACTIONS, strict=True)]
    expected = math.fsum(w * m for w, m in zip(np.exp(LOG_WEIGHTS), bettors, strict=True))
    assert DecayDetector(margin=margin).extend(values).statistic == pytest.approx(expected, rel=1e-9)


def test_the_statistic_never_outruns_its_count_in_the_mean():
    """The mean of M after t steps is exactly t on the null's edge: enumeration of 2^10 streams."""
    total = 0.0
    for pattern in range(2**10):
        detector = DecayDetector(margin=0.0)
        for bit in range(10):
            detector.extend([0.5 if pattern >> bit & 1 else -0.5])
        total += detector.statistic / 2**10
    assert total == pytest.approx(10.0, rel=1e-9)


def test_a_late_regression_is_found(rng):
    """Ten points lost after 3,000 good pairs are found within 1,000; a loss within the margin is not called."""
    good = rng.choice([-0.2, 0.0, 0.2], 3_000)
    bad = np.clip(rng.choice([-0.3, -0.1, 0.1], 1_000), -1, 1)
    detector = DecayDetector(margin=0.01).extend(np.concatenate([good, bad]))
    assert detector.alarm_at is not None
    assert 3_000 < detector.alarm_at < 4_000
    assert not DecayDetector(margin=0.15).extend(np.concatenate([good, bad])).alarmed


def test_states_resume_in_the_middle(rng):
    """Through JSON and on, or in parts, both detectors reach the same statistic and alarm."""
    scores, us = rng.standard_normal(600), rng.random(600)
    whole, part = (DriftDetector.from_reference(scores[:100], horizon=100) for _ in range(2))
    whole.extend(scores[100:] + 0.5, us[100:])
    part.extend(scores[100:300] + 0.5, us[100:300])
    state = json.dumps(part.to_state())
    assert len(state) < 8_000
    part = DriftDetector.from_state(json.loads(state)).extend(scores[300:] + 0.5, us[300:])
    assert part.to_state() == whole.to_state()
    one, two = DecayDetector(margin=0.1), DecayDetector(margin=0.1).extend(np.clip(scores[:50], -1, 1))
    one.extend(np.clip(scores, -1, 1))
    two.extend(np.clip(scores[50:], -1, 1))
    assert (two.n, two.alarm_at) == (one.n, one.alarm_at)
    assert two.statistic == pytest.approx(one.statistic, rel=1e-9)


def test_statistics_stay_finite_long_after_an_alarm():
    """A stream that nobody stops does not overflow."""
    detector = DecayDetector(margin=0.0).extend([-1.0] * 3_000)
    assert math.isfinite(detector.statistic)
    assert detector.alarm_at is not None


def test_unusable_input_is_refused():
    """NaN, u out of range, unordered edges, tiny references and impossible settings raise."""
    with pytest.raises(StatsInputError):
        DriftDetector([0.0]).add(math.nan, 0.5)
    with pytest.raises(StatsInputError):
        DriftDetector([0.0]).add(0.1, 1.5)
    with pytest.raises(StatsInputError, match="edges"):
        DriftDetector([1.0, 1.0])
    with pytest.raises(StatsInputError, match="reference"):
        DriftDetector.from_reference([0.1] * 39)
    with pytest.raises(StatsInputError):
        DecayDetector(margin=0.0).extend([1.5])
    with pytest.raises(StatsInputError, match="margin"):
        DecayDetector(margin=1.0)
    with pytest.raises(StatsInputError):
        DriftDetector.from_state(DriftDetector([0.0]).to_state() | {"bets": [1.0]})
