import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.roots import rejected_part


@given(st.floats(0.001, 0.999), st.floats(-2, 2), st.sampled_from([1, 3, 40]))
@settings(max_examples=60, deadline=None)
def test_the_crossing_is_found_from_the_rejected_side(root, guess, power):
    """For gentle and steep curves and any guess, within the tolerance and never beyond the root."""
    steps = []

    def excess(part):
        steps.append(part)
        return root**power - part**power

    found = rejected_part(excess, guess=guess, tolerance=1e-7)
    assert root - 2e-7 <= found <= root
    assert len(steps) <= 102


def test_curves_that_do_not_cross():
    """Nowhere rejected gives zero, everywhere gives one."""
    assert rejected_part(lambda _: -1.0, guess=0.5, tolerance=1e-7) == 0.0
    assert rejected_part(lambda _: math.inf, guess=0.5, tolerance=1e-7) == pytest.approx(1.0)
