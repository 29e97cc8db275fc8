"""Rules refuse numbers that would make a verdict meaningless."""

import pytest

from shadoweval.errors import ExperimentError
from shadoweval.verdict.rules import Rules


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": 0},
        {"alpha": 1},
        {"alpha": 5},
        {"min_coverage": 95},
        {"min_fidelity": -0.1},
        {"min_units": 0},
        {"candidates": 0},
        {"min_hours": -1},
        {"share": 0},
        {"share": 10},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(settings) -> None:
    """Percentages for shares, negative hours, no units: an error that names the rule."""
    with pytest.raises(ExperimentError, match="Rules"):
        Rules(**settings)


def test_the_defaults_suit_live_traffic() -> None:
    """Five percent, two hundred units, ninety-five percent of the sampled queries."""
    rules = Rules()
    assert (rules.alpha, rules.least_units, rules.min_coverage, rules.once) == (0.05, 200, 0.95, False)
    assert [Rules(closed=True).least_units, Rules(once=True).least_units] == [1, 1]
    assert Rules(once=True, min_units=30).least_units == 30
