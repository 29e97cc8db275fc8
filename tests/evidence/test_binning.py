import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.evidence.binning import place, spread


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
