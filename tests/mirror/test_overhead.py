"""Durations in bins give back quantiles within a bin's width."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.mirror.overhead import BINS, bin_name, overhead, quantile

WIDTH = 2 ** (1 / 5)


def binned(durations: list[float]) -> dict[str, int]:
    bins: dict[str, int] = {}
    for seconds in durations:
        bins[bin_name(seconds)] = bins.get(bin_name(seconds), 0) + 1
    return bins


@given(seconds=st.floats(0, 1e6))
def test_every_duration_has_a_bin(seconds: float) -> None:
    """Also none at all, and a day."""
    assert 0 <= int(bin_name(seconds)) < BINS


def test_quantiles_are_those_of_the_sample_within_a_bin() -> None:
    """Against the standard library's quantiles of 5,000 log-normal durations."""
    rng = random.Random(1)
    durations = [rng.lognormvariate(-4, 1) for _ in range(5000)]
    exact = statistics.quantiles(durations, n=100)
    for share in (50, 95, 99):
        assert exact[share - 1] / WIDTH <= quantile(binned(durations), share / 100) <= exact[share - 1] * WIDTH


def test_overhead_is_the_difference_of_the_quantiles() -> None:
    """Mirrored calls that take twice as long show it; the sums say how many were compared."""
    rng = random.Random(2)
    control = [rng.lognormvariate(-4, 0.1) for _ in range(1000)]
    told = overhead(binned([2 * seconds for seconds in control]), binned(control))
    assert told["p50"] == pytest.approx(statistics.median(control), rel=0.3)
    assert (told["mirrored"], told["control"]) == (1000, 1000)


def test_too_few_calls_have_no_overhead() -> None:
    """Below 100 on either side only the numbers are told."""
    assert overhead(binned([0.1] * 99), binned([0.1] * 500)) == {"mirrored": 99.0, "control": 500.0}


def test_an_empty_histogram_has_no_quantile() -> None:
    """It is an error, not a zero."""
    with pytest.raises(ValueError, match="empty"):
        quantile({}, 0.5)
