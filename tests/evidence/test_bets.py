import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence import bets
from shadoweval.evidence.bets import FRACTIONS, LOG_WEIGHTS, discordant_log_e
from shadoweval.evidence.histbet import HistBet


@pytest.mark.parametrize("name", ["mcnemar_14_4", "mcnemar_30_30", "mcnemar_0_7"])
def test_evidence_equals_the_reference(vectors, name):
    """Losses against wins at margin zero, against mpmath: as counts, and as the histogram that decides."""
    case = vectors[name]
    wins, losses, ties = (case["input"][key] for key in ("wins", "losses", "ties"))
    expected = case["expected"]["histbet_log_e_less_0"]
    assert discordant_log_e([losses], [wins])[0] == pytest.approx(expected, abs=case["tol"])
    histogram = HistBet.of([1.0] * wins + [-1.0] * losses + [0.0] * ties)
    assert histogram.log_e(0.0, "less") == pytest.approx(expected, abs=case["tol"])


def test_it_is_the_mixture_over_biased_coins():
    """With theta = (1 + f) / 2, the e-value is the mixed likelihood ratio against a fair coin."""
    theta = (1 + FRACTIONS) / 2
    ratio = (np.exp(LOG_WEIGHTS) * theta**8 * (1 - theta) ** 3).sum() / 0.5**11
    assert discordant_log_e([8], [3])[0] == pytest.approx(math.log(ratio), abs=1e-12)


@given(st.floats(0.001, 0.999), st.floats(-2, 2), st.sampled_from([1, 3, 40]))
@settings(max_examples=60, deadline=None)
def test_the_crossing_is_found_from_the_rejected_side(root, guess, power):
    """For gentle and steep curves and any guess, within the tolerance and never beyond the root."""
    steps = []

    def excess(part):
        steps.append(part)
        return root**power - part**power

    found = bets.rejected_part(excess, guess=guess)
    assert root - 2e-7 <= found <= root
    assert len(steps) <= 102


def test_curves_that_do_not_cross():
    """Nowhere rejected gives zero, everywhere gives one."""
    assert bets.rejected_part(lambda _: -1.0, guess=0.5) == 0.0
    assert bets.rejected_part(lambda _: math.inf, guess=0.5) == pytest.approx(1.0)
