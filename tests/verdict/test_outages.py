"""The incumbent's failures credit nobody."""

from dataclasses import replace

import numpy as np
import pytest

from shadoweval.protocols import Metric
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.gates import better, no_worse
from shadoweval.verdict.outages import Outages
from shadoweval.verdict.trial import Trial

RIGHT = Metric(name="right")
SECONDS = Metric(name="latency", higher_is_better=False, high=None, like_with_like=True, failure_scores=30.0)


def columns(failed):
    """Pairs in which the candidate is right, and the incumbent where it does not fail."""
    failed = np.asarray(failed, dtype=bool)
    n, known = failed.size, np.ones(failed.size, dtype=bool)
    right = ScoreColumns(
        incumbent=1.0 - failed, candidate=np.ones(n), incumbent_scored=known, candidate_scored=known, noise_scored=known
    )
    return Columns(
        asked_at=1.7e9 + 60.0 * np.arange(n),
        key=np.arange(n, dtype=np.uint64),
        cluster=np.zeros(n, dtype=np.uint64),
        alone=known,
        scores={"right": right, "latency": replace(right, incumbent=np.ones(n))},
        incumbent_failed=failed,
    )


@pytest.mark.parametrize("size", [1, 3, 50])
def test_an_outage_is_the_same_in_any_batches(size):
    """From the third failure of a row on, until the incumbent answers again."""
    failed = [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0]
    whole, outages, lacking = columns(failed), Outages(), []
    for start in range(0, whole.n, size):
        part = outages.without_credit(whole.part(slice(start, start + size)), [RIGHT, SECONDS])
        lacking += (~part.scores["right"].incumbent_scored).tolist()
        assert part.scores["latency"].incumbent_scored.all()
        restored = Outages()
        restored.restore(outages.to_state())
        outages = restored
    assert np.flatnonzero(lacking).tolist() == [8, 9, 11]
    assert outages.pairs == 3


def test_single_failures_prove_no_gain_and_make_up_for_others():
    """One failure in twenty: the difference has it, what must be shown of a gain has not."""
    trial = Trial([RIGHT, SECONDS], [better("right", by=0.01), no_worse("right", by=0.01)])
    trial.add(columns([number % 20 == 7 for number in range(400)]))
    gain, no_loss = trial.claims
    assert gain.holds.mean.mean == no_loss.holds.mean.mean == pytest.approx(0.05)
    assert gain.uncredited.mean.mean == 0.0
    assert no_loss.uncredited is None
