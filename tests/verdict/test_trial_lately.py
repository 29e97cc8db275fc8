"""Every kind of gate watches for a turn to the worse; steady candidates at the margin are left alone."""

import json

import numpy as np
import pytest

from shadoweval.evidence.variables import Scores
from shadoweval.protocols import Metric
from shadoweval.verdict.claims import claim_of, contrast_of
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.trial import watch_for_decay

RIGHT = Metric(name="right")
ERRORS = Metric(name="errors", higher_is_better=False)
SECONDS = Metric(name="latency", higher_is_better=False, high=None, failure_scores=30.0)


def watched(gate, metric):
    claim = claim_of(gate, [metric], contrasts={metric.name: contrast_of(metric)})
    ((named, newest),) = watch_for_decay([claim])
    assert named == gate.metric
    return claim.variables, newest


def feed(variables, incumbent, candidate):
    known = np.ones(len(incumbent), dtype=bool)
    scores = Scores(incumbent=incumbent, candidate=candidate, incumbent_scored=known, candidate_scored=known)
    for variable in variables:
        variable.add_independent(scores)


def share(rng, chance, n):
    return (rng.random(n) < chance).astype(float)


def seconds(rng, factor, n):
    return factor * np.exp(rng.normal(0, 0.4, n))


# gate, metric, how arms are drawn, incumbent, candidate while good, at the margin, after the turn
GATES = [
    (better("right", by=0.02), RIGHT, share, 0.6, 0.8, 0.6, 0.1),
    (no_worse("right", by=0.05), RIGHT, share, 0.8, 0.8, 0.75, 0.4),
    (at_least("right", 0.7), RIGHT, share, 0.8, 0.9, 0.7, 0.3),
    (no_worse("errors", by=0.03), ERRORS, share, 0.02, 0.01, 0.05, 0.3),
    (at_most("errors", 0.05), ERRORS, share, 0.02, 0.01, 0.05, 0.3),
    (at_most("latency.p95", 3.0), SECONDS, seconds, 1.0, 1.0, 1.5, 5.0),
    (at_most("latency.p50", ratio=1.2), SECONDS, seconds, 1.0, 0.9, 1.2, 4.0),
    (better("latency.p50", by=0.1), SECONDS, seconds, 1.0, 0.7, 1.0, 4.0),
    (no_worse("latency", by=0.3, cap=10.0), SECONDS, seconds, 1.0, 1.0, 1.25, 8.0),
    (at_most("latency", 2.0, cap=10.0), SECONDS, seconds, 1.0, 1.0, 1.8, 8.0),
    (at_most("latency", ratio=1.2, cap=10.0), SECONDS, seconds, 1.0, 0.9, 1.2, 8.0),
]
IDS = [gate.sentence for gate, *_ in GATES]


@pytest.mark.parametrize(("gate", "metric", "draw", "incumbent", "good", "margin", "bad"), GATES, ids=IDS)
def test_a_turn_to_the_worse_is_seen(gate, metric, draw, incumbent, good, margin, bad) -> None:
    """Good for 1,500 pairs, then bad for 150; the state in between goes through JSON."""
    rng = np.random.default_rng(1)
    variables, newest = watched(gate, metric)
    feed(variables, draw(rng, incumbent, 1_500), draw(rng, good, 1_500))
    assert not newest.decayed
    states = json.loads(json.dumps([variable.to_state() for variable in variables]))
    variables, newest = watched(gate, metric)
    for variable, state in zip(variables, states, strict=True):
        variable.restore(state)
    feed(variables, draw(rng, incumbent, 150), draw(rng, bad, 150))
    assert newest.decayed


@pytest.mark.parametrize(("gate", "metric", "draw", "incumbent", "good", "margin", "bad"), GATES, ids=IDS)
def test_a_steady_candidate_at_the_margin_rarely_alarms(gate, metric, draw, incumbent, good, margin, bad) -> None:
    """At most 5 % of 60 streams of 3,000 pairs, with slack for 60."""
    alarms = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        variables, newest = watched(gate, metric)
        feed(variables, draw(rng, incumbent, 3_000), draw(rng, margin, 3_000))
        alarms += newest.decayed
    assert alarms <= 6


def test_gates_of_one_metric_are_watched_each_by_itself() -> None:
    """A wide margin does not take the place of a narrow one."""
    gates = [no_worse("right", by=0.05), no_worse("right", by=0.9)]
    contrasts = {"right": contrast_of(RIGHT)}
    claims = [claim_of(gate, [RIGHT], contrasts=contrasts) for gate in gates]
    watchers = watch_for_decay(claims)
    rng = np.random.default_rng(1)
    feed([contrasts["right"]], share(rng, 0.8, 1_500), share(rng, 0.8, 1_500))
    feed([contrasts["right"]], share(rng, 0.8, 300), share(rng, 0.2, 300))
    assert [newest.decayed for _, newest in watchers] == [True, False]
