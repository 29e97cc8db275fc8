import math

import numpy as np
import pytest

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.noise import best_repeats, control_log_e, noise_floor_evidence, rerun_variance


def test_disagreement_is_judged_above_the_floor(rng):
    """Equal disagreement is no evidence, more of it is."""
    floor = rng.beta(0.5, 2.5, 4_000)
    same, more = rng.beta(0.5, 2.5, 4_000), np.minimum(rng.beta(0.5, 2.5, 4_000) + 0.1, 1)
    assert noise_floor_evidence(same, floor).log_e(0.0, "greater") < math.log(20)
    assert noise_floor_evidence(more, floor).log_e(0.0, "greater") > math.log(1_000)
    assert HistBet.of(same, lo=0.0, hi=1.0).log_e(0.1, "greater") > math.log(1_000)  # what forgetting the floor does


def test_control_looks_both_ways(rng):
    """A bias of either sign alarms, none does not."""
    noise = rng.normal(0, 0.1, 2_000)
    for shift, alarms in ((0.0, False), (0.03, True), (-0.03, True)):
        evidence = HistBet.of(np.clip(noise + shift, -1, 1))
        assert (control_log_e(evidence) >= math.log(100)) is alarms


def test_rerun_variance_recovers_the_noise(rng):
    """Two runs with noise of deviation 0.1 around each query's own mean."""
    query = rng.uniform(0, 1, 20_000)
    first, second = (query + rng.normal(0, 0.1, 20_000) for _ in range(2))
    assert rerun_variance(first, second) == pytest.approx(0.01, rel=0.05)


@pytest.mark.parametrize(
    ("between", "within", "query", "rerun"), [(0.04, 0.04, 1, 1), (0.01, 0.09, 9, 1), (0.0, 0.1, 1, 1), (1, 0, 5, 1)]
)
def test_repeats_are_the_best_whole_number(between, within, query, rerun):
    """By the formula sqrt(query / rerun * within / between), rounded to the better neighbour."""
    best = best_repeats(between, within, query_cost=query, rerun_cost=rerun, most=50)
    ideal = math.sqrt(query / rerun * within / between) if between else 50
    assert best in {max(1, math.floor(ideal)), max(1, math.ceil(ideal))}


def test_unusable_input_is_refused():
    """Disagreements beyond one, single pairs and free runs raise."""
    with pytest.raises(StatsInputError):
        noise_floor_evidence([1.2], [0.1])
    with pytest.raises(StatsInputError, match="two"):
        rerun_variance([0.1], [0.1])
    with pytest.raises(StatsInputError, match="rerun_cost"):
        best_repeats(1.0, 1.0, query_cost=1.0, rerun_cost=0.0)
