import numpy as np
import pytest
import ville

from shadoweval.evidence.asymptotic import mixture_radius
from shadoweval.evidence.inputs import StatsInputError


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
