"""Numbers as people say them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.records.amounts import amount, change_words, instead, range_words

SAID = [
    (0.0553, 0.3712, "s", False, "0.37 s instead of 0.06 s (6.7 x)"),
    (0.00017, 6.7, "s", False, "6.7 s instead of 0.170 ms (39,412 x)"),
    (0.002, 0.12, "share", True, "12 % instead of 0.200 % (+12 points)"),
    (940, 1304, "tokens", False, "1,304 tokens instead of 940 tokens (39 % more)"),
    (8.1, 0.3, "s", False, "0.3 s instead of 8.1 s (96 % less)"),
    (0.0101, 0.0102, "s", False, "10.20 ms instead of 10.10 ms (1.0 % more)"),
    (0.412, 0.463, "", True, "0.463 instead of 0.412 (+0.051)"),
    (0.9, 0.31, "", True, "0.31 instead of 0.90 (-0.59)"),
    (0.0123, 0.0311, "share", True, "3.1 % instead of 1.2 % (+1.9 points)"),
    (0.0, 2.0, "tokens", False, "2.0 tokens instead of 0.0 tokens"),
    (30.0, 30.004, "s", False, "30.00 s in both"),
    (0.5, 0.5, "", True, "0.500 in both"),
]


@pytest.mark.parametrize(("incumbent", "candidate", "unit", "bounded", "words"), SAID)
def test_a_change_reads_as_people_say_it(incumbent, candidate, unit, bounded, words):
    """Both values with as many digits as tell them apart; of an amount the ratio, of a score the difference."""
    assert instead(incumbent, candidate, unit, bounded=bounded) == words


@given(incumbent=st.floats(0, 1e6), candidate=st.floats(0, 1e6))
def test_no_sign_is_turned_round(incumbent, candidate):
    """More reads as more, whichever direction is better; what is shown as equal carries no sign."""
    words = instead(incumbent, candidate)
    if "in both" not in words:
        assert ("(+" in words) == (candidate > incumbent)
        assert change_words(incumbent, candidate).startswith("+" if candidate > incumbent else "-")


@pytest.mark.parametrize(
    ("lower", "upper", "unit", "words"),
    [
        (0.28, 0.34, "s", "0.28 to 0.34 s more"),
        (-410, -318, "tokens", "318 to 410 tokens less"),
        (-0.02, 0.05, "", "0.020 less to 0.050 more"),
        (-0.004, -0.002, "share", "0.20 to 0.40 points less"),
    ],
)
def test_an_interval_says_less_or_more(lower, upper, unit, words):
    """No minus sign has to be read."""
    assert range_words(lower, upper, unit) == words


def test_what_is_missing_is_a_dash():
    """A missing value is no zero."""
    assert (amount(None, "s"), amount(0.0, "s")) == ("–", "0 s")


@pytest.mark.parametrize("large", [math.inf, 1e300])
def test_no_number_is_too_large_to_be_said(large):
    """A sum that overflowed, or a scorer of one's own."""
    assert amount(large, "USD") == f"{large:.3g} USD"
    assert instead(0.5, large, "USD", bounded=False).startswith(f"{large:.3g} USD instead of 0.5 USD")
    assert range_words(-large, large, "s") == f"{large:.3g} s less to {large:.3g} s more"
