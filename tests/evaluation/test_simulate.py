"""How long gates take, and how often they are wrong, on measured differences."""

import argparse
import re

import numpy as np
import pytest

from shadoweval import Experiment, at_most, better, no_worse
from shadoweval.cli import evaluation as commands
from shadoweval.errors import ExperimentError
from shadoweval.evaluation.simulate import moved_to, paired_differences, simulate, simulate_stored
from shadoweval.protocols import Metric
from shadoweval.records import Envelope, PairScore, Scored, Unscored
from shadoweval.scoring import latency, recall
from shadoweval.settings import Settings
from shadoweval.testing import make_observation, make_query
from shadoweval.worker.opening import open_store


def equal_arms(n=400, seed=0):
    """Differences of recall@5 between two runs of equal quality."""
    random = np.random.default_rng(seed)
    ease = random.random(n)
    return ((random.binomial(5, 0.4 + 0.5 * ease) - random.binomial(5, 0.4 + 0.5 * ease)) / 5)[np.newaxis]


@pytest.mark.parametrize("mean", [-0.4, -0.02, 0.0, 0.013, 0.6])
def test_moved_differences_have_the_mean_that_was_asked_for(mean):
    """Exactly, although no difference leaves [-1, 1]."""
    row = np.concatenate([equal_arms()[0], [-1.0] * 40, [1.0] * 30])
    moved = moved_to(row, mean)
    assert moved.mean() == pytest.approx(mean, abs=1e-9)
    assert np.abs(moved).max() <= 1


def test_equals_are_seldom_rolled_back_and_the_margin_is_seldom_promoted():
    """With a look every 50 queries: at most about 5 % wrong either way, here 6.5 % for 200 streams' chance."""
    gates = [no_worse("recall@5", by=0.02)]
    equal = simulate(equal_arms(), gates, effect=0.0, streams=200, alpha=0.05, length=5_000)
    at_margin = simulate(equal_arms(), gates, effect=-0.02, streams=200, alpha=0.05, length=5_000)
    assert equal.rolled_back <= 0.065
    assert at_margin.promoted <= 0.065
    assert at_margin.rolled_back <= 0.065
    assert equal.promoted + equal.rolled_back + equal.held == pytest.approx(1)


def test_no_gain_is_seldom_taken_for_one():
    """`better` promotes equals in at most about 5 % of the streams."""
    found = simulate(equal_arms(), [better("recall@5", by=0.0)], effect=0.0, streams=200, alpha=0.05, length=5_000)
    assert found.promoted <= 0.065


def test_a_real_loss_is_found_and_a_larger_one_sooner():
    """Rollbacks come, and when half of them have come depends on the size of the loss."""
    gates = [no_worse("recall@5", by=0.02)]
    small, large = (
        simulate(equal_arms(), gates, effect=effect, streams=60, alpha=0.05, length=10_000) for effect in (-0.06, -0.12)
    )
    assert small.rolled_back == large.rolled_back == 1
    assert large.rolled_back_after[0] < small.rolled_back_after[0]
    assert "rollback  100.0 %" in str(large)


def test_floors_and_the_number_of_candidates_are_part_of_the_wait():
    """Nothing is promoted below the least number of units; several candidates wait longer."""
    gates = [no_worse("recall@5", by=0.1)]
    settings = {"effect": 0.0, "streams": 40, "alpha": 0.05, "length": 4_000}
    alone = simulate(equal_arms(), gates, **settings)
    floored = simulate(equal_arms(), gates, min_units=2_000, **settings)
    crowded = simulate(equal_arms(), gates, candidates=50, **settings)
    assert floored.promoted_after[0] == 2_000
    assert crowded.promoted_after[0] > alone.promoted_after[0]


def test_differences_are_oriented_and_whole():
    """As shares of the range, larger is better; a query without one of the scores is left out."""
    metrics = {
        "stars": Metric(name="stars", low=1.0, high=5.0),
        "errors": Metric(name="errors", higher_is_better=False),
    }
    gates = [no_worse("stars", by=0.1), no_worse("errors", by=0.1)]
    scores = [
        PairScore(metric="stars", query_id="a", incumbent=Scored(2), candidate=Scored(4)),
        PairScore(metric="errors", query_id="a", incumbent=Scored(0), candidate=Scored(1)),
        PairScore(metric="stars", query_id="b", incumbent=Scored(2), candidate=Unscored("no")),
        PairScore(metric="errors", query_id="b", incumbent=Scored(0), candidate=Scored(1)),
    ]
    assert paired_differences(scores, gates, metrics).tolist() == [[0.5], [-1.0]]


def test_margins_and_effects_are_in_the_metrics_own_unit():
    """Stars from 1 to 5 give the same as shares of 1 with a quarter of the margin and of the effect."""
    stars = simulate(
        equal_arms(), [no_worse("m", by=0.08)], effect=-0.2, streams=20, alpha=0.05, spans=[4.0], length=3_000
    )
    share = simulate(equal_arms(), [no_worse("m", by=0.02)], effect=-0.05, streams=20, alpha=0.05, length=3_000)
    assert (stars.promoted, stars.rolled_back_after) == (share.promoted, share.rolled_back_after)


class TestStored:
    @pytest.fixture(name="experiment")
    def _experiment(self, tmp_path):
        return Experiment(
            name="docs",
            candidates={"new": "app:new"},
            scorers=[recall(1), latency()],
            gates=[no_worse("recall@1", by=0.1), at_most("latency.p95", ratio=1.5)],
            settings=Settings(home=str(tmp_path / "home")),
        )

    @pytest.fixture(name="store")
    def _store(self, experiment):
        with open_store(experiment) as store:
            yield store

    def fill(self, store, count):
        random = np.random.default_rng(1)
        for number in range(1, count + 1):
            query = make_query(number)
            envelope = Envelope(experiment="docs", query=query, served=make_observation(query))
            store.add_envelopes([envelope], arms={query.id: ["new"]})
            store.add_observation(make_observation(query, "new"))
            first, second = (float(random.random() < 0.8) for _ in range(2))
            store.add_scores(
                "docs",
                "new",
                [PairScore(metric="recall@1", query_id=query.id, incumbent=Scored(first), candidate=Scored(second))],
            )

    def test_draws_from_what_was_scored_and_names_what_it_left_out(self, experiment, store):
        """Only gates over a paired mean can be simulated, and the others are named."""
        self.fill(store, 80)
        found = simulate_stored(experiment, store=store, candidate="new", effect=0.0, streams=20)
        assert found.gates == ("recall@1 is no worse by 0.1",)
        assert found.left_out == ("latency.p95 is at most 1.5 x incumbent",)
        assert found.promoted >= 0.9

    def test_the_command_says_how_often_equals_are_judged_wrongly(self, experiment, store, capsys):
        """`simulate --effect 0` on equal arms: at most about 5 % rollbacks, and `--effect -0.1`: promotions."""
        self.fill(store, 300)
        wrong = {}
        for effect, name in ((0.0, "rollback"), (-0.1, "promote")):
            assert commands.simulate(argparse.Namespace(experiment=experiment, effect=effect, streams=200)) == 0
            said = capsys.readouterr().out
            wrong[name] = float(re.search(rf"{name} +([\d.]+) %", said)[1])
        assert max(wrong.values()) <= 6.5, wrong

    def test_says_what_is_missing(self, experiment, store):
        """Too few pairs, or no gate that can be simulated."""
        self.fill(store, 10)
        with pytest.raises(ExperimentError, match="10 pairs of 'new' have all scores"):
            simulate_stored(experiment, store=store, candidate="new", effect=0.0)
        experiment.gates = experiment.gates[1:]
        with pytest.raises(ExperimentError, match="no gate over a paired mean"):
            simulate_stored(experiment, store=store, candidate="new", effect=0.0)
