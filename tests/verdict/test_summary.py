"""What people read of a metric."""

from __future__ import annotations

import numpy as np
import pytest

from shadoweval.verdict.summary import ThinnedSample


@pytest.mark.parametrize("sizes", [[30_000], [1] * 50 + [29_950], [8_192, 1, 8_191, 13_616]])
def test_a_thinned_sample_does_not_depend_on_batches(sizes) -> None:
    """Every 2^k-th value of the stream is kept, at most 8192 of them, however the stream is cut."""
    values = np.random.default_rng(0).normal(0, 1, 30_000)
    sample, start = ThinnedSample(), 0
    for size in sizes:
        sample.extend(values[start : start + size])
        start += size
    assert sample.n == 30_000
    assert sample.values.tolist() == values[::4].tolist()
    assert sample.quantile(0.95) == pytest.approx(np.quantile(values[::4], 0.95))


def test_a_short_stream_is_kept_whole() -> None:
    """Up to 8192 values the quantiles are exact; without any there is none."""
    values = np.random.default_rng(1).random(500)
    sample = ThinnedSample()
    assert sample.quantile(0.5) is None
    assert sample.quantiles() == ()
    sample.extend(values)
    assert sample.quantiles() == pytest.approx(np.quantile(values, np.linspace(0, 1, 21)))
