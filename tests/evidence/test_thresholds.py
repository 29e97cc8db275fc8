import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.thresholds import WARMUP, PredictableQuantiles, QuantileSketch


def test_sketch_quantiles_are_within_one_percent(rng):
    """Against the sorted values, from microseconds to days."""
    for scale in (1e-6, 1.0, 1e5):
        values = scale * rng.lognormal(0, 0.8, 5_000)
        sketch = QuantileSketch()
        sketch.extend(values)
        levels = (0.01, 0.5, 0.95, 0.99)
        exact = np.quantile(values, levels, method="inverted_cdf")
        np.testing.assert_allclose(sketch.quantiles(levels), exact, rtol=0.0101)


def test_sketches_add_up(rng):
    """Two merged sketches equal one of all values; zeros count as the smallest value."""
    values = np.append(rng.lognormal(0, 1, 300), 0.0)
    one, two, whole = QuantileSketch(), QuantileSketch(), QuantileSketch()
    one.extend(values[:100])
    two.extend(values[100:])
    whole.extend(values)
    one.merge(two)
    assert one.to_state() == whole.to_state()


@given(st.lists(st.integers(0, 90), max_size=6))
@settings(max_examples=40, deadline=None)
def test_thresholds_do_not_depend_on_how_the_stream_is_cut(cuts):
    """One by one, in batches or at once: each pair meets the same thresholds."""
    values = np.random.default_rng(4).lognormal(0, 0.8, 90)

    def met(parts):
        thresholds, seen = PredictableQuantiles((0.5, 0.9)), []
        for part in parts:
            for stretch, tau in thresholds.advance(part):
                seen += [None if tau is None else tuple(tau)] * (stretch.stop - stretch.start)
        return seen

    assert met(np.split(values, sorted(cuts))) == met([values])


def test_a_threshold_knows_the_past_only():
    """Changing a value never changes the thresholds of earlier pairs or its own."""
    values = np.random.default_rng(4).lognormal(0, 0.8, 300)
    changed = values.copy()
    changed[200:] *= 100

    def met(stream):
        return [
            tau
            for stretch, tau in PredictableQuantiles((0.5,)).advance(stream)
            for _ in range(stretch.start, stretch.stop)
        ]

    first, second = met(values), met(changed)
    assert first[:201] == second[:201]
    assert first[-1] != second[-1]
    assert first[:WARMUP] == [None] * WARMUP
    assert first[WARMUP] is not None


def test_a_reference_gives_thresholds_from_the_first_pair_on(rng):
    """With 500 earlier incumbents the first threshold is their quantile."""
    reference = rng.lognormal(0, 0.8, 500)
    current = PredictableQuantiles((0.95,), reference=reference).current
    assert current is not None
    assert current[0] == pytest.approx(np.quantile(reference, 0.95), rel=0.05)


def test_state_resumes_in_the_middle(rng):
    """Through JSON and on, the same thresholds follow."""
    values = rng.lognormal(0, 0.8, 400)
    whole, part = PredictableQuantiles((0.5, 0.95)), PredictableQuantiles((0.5, 0.95))
    list(whole.advance(values))
    list(part.advance(values[:170]))
    part = PredictableQuantiles.from_state(json.loads(json.dumps(part.to_state())))
    list(part.advance(values[170:]))
    assert part.to_state() == whole.to_state()


def test_unusable_levels_references_and_states_are_refused():
    """Levels outside (0, 1), negative latencies and damaged states raise."""
    with pytest.raises(StatsInputError, match="level"):
        PredictableQuantiles((1.0,))
    with pytest.raises(StatsInputError, match="level"):
        PredictableQuantiles(())
    with pytest.raises(StatsInputError, match="negative"):
        PredictableQuantiles((0.5,), reference=[-1.0])
    with pytest.raises(StatsInputError, match="levels"):
        PredictableQuantiles((0.5,)).merge(PredictableQuantiles((0.9,)))
    for damage in ({"sketch": [[1, -2]]}, {"current": [1.0, 2.0]}, {"current": [math.inf]}, {"v": 9}):
        with pytest.raises(StatsInputError):
            PredictableQuantiles.from_state(PredictableQuantiles((0.5,)).to_state() | damage)
