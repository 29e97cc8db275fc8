import math

import numpy as np
import pytest

from shadoweval.errors import ShadowEvalError
from shadoweval.evidence.inputs import StatsInputError, at_least, finite, paired, share, within


def test_refusals_name_the_place_and_the_remedy():
    """The message has the index and the value, and says what to do."""
    with pytest.raises(StatsInputError, match=r"scores has 1 values.*nan.*at 2.*Leave unscored items out"):
        finite([0.1, 0.2, math.nan], "scores")
    with pytest.raises(StatsInputError, match=r"scores must lie in \[0.0, 1.0\], but value 1 is .*1.5"):
        within([0.5, 1.5], 0.0, 1.0, name="scores")
    with pytest.raises(StatsInputError, match=r"must be pairs.*\(2,\) and \(1,\)"):
        paired([0.1, 0.2], [0.1], ("a", "b"))


def test_a_refusal_is_both_ours_and_a_value_error():
    """It can be caught either way."""
    assert issubclass(StatsInputError, ShadowEvalError)
    assert issubclass(StatsInputError, ValueError)


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, math.nan, math.inf])
def test_a_level_lies_strictly_between_zero_and_one(bad):
    """The ends and NaN are refused."""
    with pytest.raises(StatsInputError, match="alpha"):
        share(bad, "alpha")


@pytest.mark.parametrize("bad", [0.9, math.nan, math.inf])
def test_a_number_has_a_floor(bad):
    """Below it, NaN and infinity are refused."""
    with pytest.raises(StatsInputError, match="at least 1"):
        at_least(bad, 1, name="count")


def test_good_input_comes_back_as_float64():
    """Sequences of ints too."""
    assert finite([1, 2], "x").dtype == np.float64
    assert within([], 0, 1, name="x").size == 0
