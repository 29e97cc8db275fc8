"""The incumbent against itself: noise, the slower path, and an alarm where the two paths are not the same."""

import random

import pytest

from shadoweval import Experiment, no_worse
from shadoweval.errors import ExperimentError
from shadoweval.evaluation.calibrate import calibrate
from shadoweval.records import INCUMBENT, Envelope, Failure, Labels
from shadoweval.scoring import latency, recall
from shadoweval.settings import Settings
from shadoweval.testing import make_observation, make_query
from shadoweval.worker.opening import open_store


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    return Experiment(
        name="docs",
        candidates={"new": "app:new"},
        scorers=[recall(1), latency()],
        gates=[no_worse("recall@1", by=0.1)],
        settings=Settings(home=str(tmp_path / "home")),
    )


@pytest.fixture(name="store")
def _store(experiment):
    with open_store(experiment) as store:
        yield store


def fill(store, count, *, again, slower=1.0, flips=0.1, failing=0):
    """Queries whose re-run finds the right document with chance `again`; the candidate itself is far worse."""
    chance = random.Random(3)
    for number in range(1, count + 1):
        query = make_query(number)
        right = chance.random() < 0.8
        found = chance.random() < again if chance.random() < flips else right
        served = make_observation(query, hits=["right" if right else "wrong"], duration=0.2)
        store.add_envelopes([Envelope(experiment="docs", query=query, served=served)], arms={query.id: ["new"]})
        store.add_observation(make_observation(query, "new", hits=["wrong"], duration=9.0))
        failure = Failure(kind="crash") if number <= failing else None
        store.add_observation(
            make_observation(
                query,
                INCUMBENT,
                place="shadow",
                hits=["right" if found else "wrong"],
                duration=0.2 * slower,
                failure=failure,
            )
        )
        store.add_labels({query.id: Labels(relevant={"right": 1})})


def test_reports_the_noise_of_equal_runs_and_how_much_slower_the_shadow_path_is(experiment, store):
    """Numbers of the two runs alone, whatever the candidate does; seconds are compared as a whole."""
    fill(store, 300, again=0.8, slower=1.15)
    found = calibrate(experiment, store=store)
    (noise,) = found.metrics
    assert (found.n, noise.n, noise.metric) == (300, 300, "recall@1")
    assert noise.served == pytest.approx(0.8, abs=0.07)
    assert noise.differing == noise.typical == pytest.approx(0.1 * 0.32, abs=0.03)
    assert noise.lower < 0 < noise.upper
    assert found.slower == pytest.approx(1.15)
    assert found.alarms == ()
    assert "no metric differs beyond chance" in str(found)
    assert "1.15 times as long" in str(found)


def test_alarms_where_the_incumbent_differs_from_itself(experiment, store):
    """A re-run that finds less is another pipeline: no candidate may be compared with it."""
    fill(store, 300, again=0.0, flips=0.5)
    found = calibrate(experiment, store=store)
    assert found.alarms == ("recall@1",)
    assert "ALARM: recall@1 differs" in str(found)


def test_failed_runs_are_left_out_and_too_few_are_refused(experiment, store):
    """What crashed says nothing about noise; below 20 re-runs nothing is said at all."""
    fill(store, 39, again=0.8, failing=20)
    with pytest.raises(ExperimentError, match=r"19 queries of 'docs' were run again.*rerun=0\.2"):
        calibrate(experiment, store=store)


def test_equal_runs_seldom_alarm(experiment, store):
    """Over twenty calibrations of equal runs an alarm is rare; its interval holds at every look."""
    fill(store, 400, again=0.8, flips=0.3)
    pairs = list(store.pairs("docs", "new"))

    class Part:
        def __init__(self, first):
            self.first = first

        def pairs(self, _experiment, _candidate):
            return iter(pairs[self.first : self.first + 20])

    alarms = sum(bool(calibrate(experiment, store=Part(first)).alarms) for first in range(0, 400, 20))
    assert alarms <= 3
