import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.grouped import histograms
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError


@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(-1, 3)), max_size=60), st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_group_has_the_histogram_of_its_own_scores(rows, on_grid):
    """One pass equals one HistBet per group, for scores on and off the grid."""
    values = np.array([round(v, 1) if on_grid else v for v, _ in rows])
    groups = np.array([g for _, g in rows], dtype=np.int64)
    made = histograms(values, groups, 4)
    for group, evidence in enumerate(made):
        alone = HistBet.of(values[groups == group])
        np.testing.assert_allclose(evidence.counts, alone.counts, atol=1e-9)
        assert evidence.n == alone.n
        assert evidence.total == pytest.approx(alone.total, abs=1e-9)
        assert evidence.squares == pytest.approx(alone.squares, abs=1e-9)


def test_several_attributes_sort_the_same_scores_anew(rng):
    """Rows of groups share one numbering, and each row covers all scores."""
    values, plan, country = rng.uniform(-1, 1, 200), rng.integers(0, 2, 200), rng.integers(2, 5, 200)
    made = histograms(values, np.stack([plan, country]), 5)
    assert sum(evidence.n for evidence in made) == 400
    assert made[3].log_e(0, "less") == pytest.approx(HistBet.of(values[country == 3]).log_e(0, "less"), abs=1e-9)


def test_unusable_groups_are_refused():
    """A group without a place, of another length or not whole raises."""
    with pytest.raises(StatsInputError, match="n_groups"):
        histograms([0.1], np.array([2]), 2)
    with pytest.raises(StatsInputError, match="whole numbers"):
        histograms([0.1], np.array([0, 1]), 2)
    with pytest.raises(StatsInputError, match="whole numbers"):
        histograms([0.1], np.array([0.5]), 2)


def test_a_large_verdict_is_linear_work(rng):
    """Ten gates over twenty slices of 200,000 pairs take at most 60 passes of plain numpy over the same scores."""
    values = [rng.choice([-0.2, 0.0, 0.0, 0.2], 200_000) for _ in range(5)]
    values += [rng.uniform(-1, 1, 200_000) for _ in range(5)]
    groups = np.stack([rng.integers(5 * a, 5 * a + 5, 200_000) for a in range(4)])

    def clock(work):
        start = time.process_time()
        work()
        return time.process_time() - start

    ours = min(clock(lambda: [histograms(v, groups, 20) for v in values]) for _ in range(3))
    unit = min(clock(lambda: [np.sort(v) for v in values]) for _ in range(3))
    assert ours <= 60 * unit
