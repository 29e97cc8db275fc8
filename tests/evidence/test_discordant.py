import math

import numpy as np
import pytest

from shadoweval.evidence.discordant import PairCounts, discordant_log_e
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError


@pytest.mark.parametrize("name", ["mcnemar_14_4", "mcnemar_30_30", "mcnemar_0_7"])
def test_evidence_equals_the_reference(vectors, name):
    """Losses against wins at margin zero, against mpmath."""
    case = vectors[name]
    counts = PairCounts(**{key: case["input"][key] for key in ("wins", "losses", "ties")})
    expected = case["expected"]["histbet_log_e_less_0"]
    assert counts.log_e(0.0, "less") == pytest.approx(expected, abs=case["tol"])
    assert discordant_log_e([counts.losses], [counts.wins])[0] == pytest.approx(expected, abs=case["tol"])


@pytest.mark.parametrize("margin", [-0.05, 0.0, 0.1])
@pytest.mark.parametrize("side", ["greater", "less"])
def test_counts_carry_the_evidence_of_the_histogram(margin, side):
    """Wins, losses and ties give what HistBet gives on 1, -1 and 0."""
    counts = PairCounts(wins=9, losses=17, ties=40)
    histogram = HistBet.of([1.0] * 9 + [-1.0] * 17 + [0.0] * 40)
    assert counts.log_e(margin, side) == pytest.approx(histogram.log_e(margin, side), abs=1e-9)


def test_it_is_the_mixture_over_biased_coins():
    """With theta = (1 + f) / 2, the e-value is the mixed likelihood ratio against a fair coin."""
    from shadoweval.evidence.bets import FRACTIONS, LOG_WEIGHTS

    theta = (1 + FRACTIONS) / 2
    ratio = (np.exp(LOG_WEIGHTS) * theta**8 * (1 - theta) ** 3).sum() / 0.5**11
    assert discordant_log_e([8], [3])[0] == pytest.approx(math.log(ratio), abs=1e-12)


def test_counts_come_from_signs_and_add_up():
    """Only the sign of a difference matters; parts add."""
    counts = PairCounts.of([0.2, -1.0, 0.0, 1.0]) + PairCounts(wins=1, losses=0)
    assert counts == PairCounts(wins=3, losses=1, ties=1)
    assert counts.discordant == 4


def test_negative_counts_are_refused():
    """A count below zero raises."""
    with pytest.raises(StatsInputError, match="negative"):
        PairCounts(wins=-1, losses=0)
