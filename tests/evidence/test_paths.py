import numpy as np
import pytest

from benchmarks.statistics.paths import first_crossing, log_e_path
from shadoweval.evidence.histbet import HistBet


@pytest.mark.parametrize("every", [1, 7])
@pytest.mark.parametrize("side", ["greater", "less"])
def test_path_is_the_evidence_after_each_look(rng, every, side):
    """Each point equals the accumulator fed with the scores up to it, on and off the grid."""
    streams = np.stack([rng.uniform(-1, 1, 50), rng.choice([-1.0, -0.2, 0.0, 0.4], 50)])
    path = log_e_path(streams, -0.02, side, every=every)
    assert path.shape == (2, 50 // every)
    for stream, row in zip(streams, path, strict=True):
        expected = [HistBet.of(stream[: (k + 1) * every]).log_e(-0.02, side) for k in range(50 // every)]
        np.testing.assert_allclose(row, expected, atol=1e-9)


def test_first_crossing_is_the_first_look_at_or_above():
    """And infinity where there is none."""
    path = np.array([[0.0, 3.0, 1.0, 3.5], [0.0, 0.1, 0.2, 0.3]])
    assert first_crossing(path, 3.0).tolist() == [1.0, np.inf]
