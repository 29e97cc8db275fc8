"""How long gates take, and how often they are wrong, on measured differences."""

import argparse
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shadoweval import Experiment, at_most, better, no_worse
from shadoweval.cli import stored as commands
from shadoweval.cli.output import Answer
from shadoweval.errors import ExperimentError
from shadoweval.evaluation.simulate import Traffic, decisions, moved_to, simulate, simulate_stored
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, Envelope, PairScore, Scored
from shadoweval.scoring import latency, recall
from shadoweval.settings import Settings
from shadoweval.testing import make_observation, make_query
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial
from shadoweval.worker.opening import open_store

START = datetime(2026, 1, 1, tzinfo=UTC)
RECALL = Metric(name="recall@5")
ERRORS = Metric(name="errors", higher_is_better=False, failure_scores=1.0)
BARE = Rules(min_units=1)


def pairs_of(scores, *, unit=lambda _: "", key=str, minutes=1.0):
    """Pairs one after the other; `scores` are both arms' values by metric, shape (2, n)."""
    n = next(iter(scores.values())).shape[1]
    return [
        (
            PairFacts(query_id=f"q{k}", key=key(k), unit=unit(k), asked_at=START + timedelta(minutes=minutes) * k),
            [
                PairScore(metric=name, query_id=f"q{k}", incumbent=Scored(float(a[k])), candidate=Scored(float(b[k])))
                for name, (a, b) in scores.items()
            ],
        )
        for k in range(n)
    ]


def recalls(n=400, seed=0):
    """Recall@5 of two runs of equal quality."""
    random = np.random.default_rng(seed)
    ease = random.random(n)
    return np.stack([random.binomial(5, 0.4 + 0.5 * ease) for _ in range(2)]) / 5


def equal_arms(n=400, seed=0):
    return pairs_of({"recall@5": recalls(n, seed)})


def simulated(pairs, gates, *, metrics=(RECALL,), rules=BARE, **settings):
    return simulate(pairs, gates, metrics=metrics, rules=rules, **settings)


@pytest.mark.parametrize("mean", [-0.4, -0.02, 0.0, 0.013, 0.6])
def test_moved_scores_have_the_mean_that_was_asked_for(mean):
    """Exactly, although none leaves its range."""
    first, second = recalls()
    row = np.concatenate([second - first, [-1.0] * 40, [1.0] * 30])
    moved = moved_to(row, mean, within=(-1.0, 1.0))
    assert moved.mean() == pytest.approx(mean, abs=1e-9)
    assert np.abs(moved).max() <= 1


@pytest.mark.slow
def test_equals_are_seldom_rolled_back_and_the_margin_is_seldom_promoted():
    """With a look every 50 queries: at most about 5 % wrong either way, here 6.5 % for 200 streams' chance."""
    gates = [no_worse("recall@5", by=0.02)]
    equal = simulated(equal_arms(), gates, effect=0.0, streams=200, length=5_000)
    at_margin = simulated(equal_arms(), gates, effect=-0.02, streams=200, length=5_000)
    assert equal.rolled_back <= 0.065
    assert at_margin.promoted <= 0.065
    assert at_margin.rolled_back <= 0.065
    assert equal.promoted + equal.rolled_back + equal.held == pytest.approx(1)


@pytest.mark.slow
def test_no_gain_is_seldom_taken_for_one():
    """`better` promotes equals in at most about 5 % of the streams."""
    found = simulated(equal_arms(), [better("recall@5", by=0.0)], effect=0.0, streams=200, length=5_000)
    assert found.promoted <= 0.065


def test_a_real_loss_is_found_and_a_larger_one_sooner():
    """Rollbacks come, and when half of them have come depends on the size of the loss."""
    gates = [no_worse("recall@5", by=0.02)]
    small, large = (
        simulated(equal_arms(), gates, effect=effect, streams=60, length=10_000) for effect in (-0.06, -0.12)
    )
    assert small.rolled_back == large.rolled_back == 1
    assert large.rolled_back_after[0] < small.rolled_back_after[0]
    assert "rollback  100.0 %" in str(large)


def test_floors_and_the_number_of_candidates_are_part_of_the_wait():
    """Nothing is promoted below the least number of units; several candidates wait longer."""
    gates = [no_worse("recall@5", by=0.1)]
    settings = {"effect": 0.0, "streams": 40, "length": 4_000}
    alone = simulated(equal_arms(), gates, **settings)
    floored = simulated(equal_arms(), gates, rules=Rules(min_units=2_000), **settings)
    crowded = simulated(equal_arms(), gates, rules=Rules(min_units=1, candidates=50), **settings)
    assert floored.promoted_after[0] == 2_000
    assert crowded.promoted_after[0] > alone.promoted_after[0]


def test_sessions_count_once_and_repeated_queries_too():
    """The same scores as sessions of five, or as queries that many users ask, need more queries to be proven."""
    scores = {"recall@5": recalls()}
    settings = {"effect": 0.0, "streams": 20, "length": 10_000}
    gates = [no_worse("recall@5", by=0.1)]
    alone = simulated(pairs_of(scores), gates, **settings)
    sessions = simulated(pairs_of(scores, unit=lambda k: f"u{k // 5}"), gates, **settings)
    popular = simulated(pairs_of(scores, key=lambda k: str(k % 40)), gates, **settings)
    assert alone.promoted == sessions.promoted == popular.promoted == 1
    assert sessions.promoted_after[0] > alone.promoted_after[0]
    assert popular.promoted_after[0] > 2 * alone.promoted_after[0]


def test_a_critical_gate_does_not_share_its_alpha():
    """Among nine good guards a regression is diluted; the same guard, critical, rolls back sooner."""
    random = np.random.default_rng(1)
    errors = (random.random((2, 400)) < 0.02).astype(float)
    pairs = pairs_of({"recall@5": recalls(), "errors": np.stack([errors[0], errors[0]])})
    good = [no_worse("errors", by=0.2 + n / 1000) for n in range(9)]
    plain, critical = (
        simulated(
            pairs,
            [*good, no_worse("recall@5", by=0.02, critical=critical)],
            metrics=(RECALL, ERRORS),
            effect=-0.08,
            streams=20,
        )
        for critical in (False, True)
    )
    assert critical.rolled_back == 1
    assert critical.rolled_back_after[0] < plain.rolled_back_after[0]


def test_the_measured_difference_is_moved_in_each_metrics_own_direction():
    """Larger is better for stars, smaller for errors: both end with the mean effect that was asked for."""
    stars, errors = Metric(name="stars", low=1.0, high=5.0), Metric(name="errors", higher_is_better=False)
    random = np.random.default_rng(2)
    pairs = pairs_of({"stars": random.integers(1, 6, (2, 200)), "errors": random.random((2, 200)) < 0.3})
    columns = Traffic.of(pairs, [stars, errors], effect=0.05).columns
    for metric, sign in ((stars, 1), (errors, -1)):
        scores = columns.scores[metric.name]
        assert sign * (scores.candidate - scores.incumbent).mean() == pytest.approx(0.05, abs=1e-9)


def test_margins_and_effects_are_in_the_metrics_own_unit():
    """Stars from 1 to 5 give the same as shares of 1 with a quarter of the margin and of the effect."""
    share, settings = recalls(), {"streams": 20, "length": 3_000}
    stars = simulated(
        pairs_of({"m": 1 + 4 * share}),
        [no_worse("m", by=0.08)],
        metrics=[Metric(name="m", low=1.0, high=5.0)],
        effect=-0.2,
        **settings,
    )
    shares = simulated(
        pairs_of({"m": share}), [no_worse("m", by=0.02)], metrics=[Metric(name="m")], effect=-0.05, **settings
    )
    assert (stars.promoted, stars.rolled_back_after) == (shares.promoted, shares.rolled_back_after)


@pytest.mark.parametrize(("effect", "expected"), [(0.0, "promote"), (-0.14, "rollback")])
@pytest.mark.parametrize("session", [1, 6])
def test_a_stream_is_decided_as_the_same_pairs_are_as_records(effect, expected, session):
    """Critical gates, sessions, repeated queries and floors: at every look the decision of the whole assessment."""
    random = np.random.default_rng(3)
    scores = {"recall@5": recalls(300, seed=4), "errors": (random.random((2, 300)) < 0.02).astype(float)}
    gates = [no_worse("recall@5", by=0.08), no_worse("errors", by=0.05, critical=True)]
    metrics, rules = [RECALL, ERRORS], Rules(min_units=150, min_hours=20.0)
    unit = (lambda k: f"u{k // session}" if k % 7 else "") if session > 1 else (lambda _: "")
    traffic = Traffic.of(pairs_of(scores, unit=unit, key=lambda k: str(k % 250)), metrics, effect=effect)
    stream = traffic.stream(random, 2_500)
    trial, seen = Trial(metrics, gates), set()
    for stop, decision in decisions(stream, metrics, gates, rules=rules):
        trial.add_pairs(record(stream, row) for row in range(stop - 50, stop))
        coverage = Coverage(eligible=stop, mirrored=stop, paired=stop, distinct=trial.distinct)
        now = datetime.fromtimestamp(trial.last_asked, tz=UTC)
        verdict = assess(trial, experiment="e", candidate="c", coverage=coverage, now=now, rules=rules).verdict
        assert decision == verdict.decision, (stop, verdict)
        seen.add(decision)
    assert expected in seen
    assert "hold" in seen


def record(columns, row):
    """One pair of the columns as records."""
    scores = [
        PairScore(
            metric=name,
            query_id=f"q{row}",
            incumbent=Scored(float(s.incumbent[row])),
            candidate=Scored(float(s.candidate[row])),
        )
        for name, s in columns.scores.items()
    ]
    facts = PairFacts(
        query_id=f"q{row}",
        key=str(columns.key[row]),
        unit="" if columns.alone[row] else str(columns.cluster[row]),
        asked_at=datetime.fromtimestamp(float(columns.asked_at[row]), tz=UTC),
    )
    return facts, scores


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

    @pytest.mark.slow
    def test_the_command_says_how_often_equals_are_judged_wrongly(self, experiment, store, capsys):
        """`simulate --effect 0` on equal arms: at most about 5 % rollbacks, and `--effect -0.1`: promotions."""
        self.fill(store, 300)
        wrong = {}
        for effect, name in ((0.0, "rollback"), (-0.1, "promote")):
            assert (
                commands.simulate(
                    argparse.Namespace(
                        experiment=experiment, answer=Answer("simulate", None), effect=effect, streams=200
                    )
                )
                == 0
            )
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
