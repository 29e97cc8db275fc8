"""What evidence is worth to someone who looks always, and to someone who looks once."""

import math

import numpy as np
import pytest

from shadoweval.evidence.looks import ALWAYS, ONCE


def test_several_guards_share_their_alpha():
    """Always: the mean of the e-values, named by the closed test; once: Bonferroni."""
    log_e = np.log([60.0, 0.5]).tolist()
    assert ALWAYS.merged(log_e) == pytest.approx(math.log(30.25))
    assert ALWAYS.named(log_e, 0.05) == (0,)
    assert ONCE.merged(log_e) == pytest.approx(math.log(30))
    assert ONCE.named(log_e, 0.05) == (0,)
    assert ALWAYS.named(np.log([31.0, 30.0, 0.1]).tolist(), 0.05) == ()
