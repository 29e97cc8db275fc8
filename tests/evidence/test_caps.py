"""Caps of amounts without a range."""

import numpy as np
import pytest

from shadoweval.evidence.caps import AutoCap


def advanced(cap, incumbent, candidate):
    """Pairs that are all scored."""
    return cap.advance(incumbent, candidate, np.ones(len(incumbent), dtype=bool))


def test_a_cap_nobody_declared_is_known_before_each_pair() -> None:
    """Ten times the largest of both arms in the first 25 pairs, later at least five times the largest so far."""
    rng = np.random.default_rng(1)
    incumbent, candidate = rng.random((2, 200))
    candidate[100] = 900.0
    whole, parts = AutoCap(None), AutoCap(None)
    caps, known = advanced(whole, incumbent, candidate)
    pieces = [advanced(parts, incumbent[a:b], candidate[a:b]) for a, b in ((0, 20), (20, 25), (25, 26), (26, 200))]
    assert known.tolist() == [False] * 25 + [True] * 175
    assert np.concatenate([known for _, known in pieces]).tolist() == known.tolist()
    assert np.concatenate([caps for caps, _ in pieces]).tolist() == caps.tolist()
    first = 10 * max(incumbent[:25].max(), candidate[:25].max())
    assert caps[25:101].tolist() == pytest.approx([first] * 76)
    assert caps[101:].tolist() == [4_500.0] * 99


def test_pairs_that_cost_nothing_set_no_cap() -> None:
    """A cap of nothing would cut all that follows."""
    nothing = np.zeros(100)
    cap = AutoCap(None)
    assert not advanced(cap, nothing, nothing)[1].any()
    caps, known = advanced(cap, nothing + 1, nothing + 1)
    assert known.tolist() == [False] * 25 + [True] * 75
    assert caps[known].tolist() == [10.0] * 75
