"""What a metric that can't come out worse proves: nothing, and the verdict says why."""

import numpy as np
import pytest

from shadoweval import at_least, at_most, better, no_worse
from shadoweval.evidence.inputs import FloatArray
from shadoweval.protocols import Metric
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.provable import needs_probes, unprovable
from shadoweval.verdict.summary import ProbeCount
from shadoweval.verdict.trial import Trial

N = 400
GOOD, BAD = Metric(name="m"), Metric(name="m", higher_is_better=False)


def sentences(metric, gate, incumbent, candidate=None, *, probes=None):
    trial = Trial([metric], [gate])
    known = np.ones(N, dtype=bool)
    values: list[FloatArray] = [np.resize(np.array(v, dtype=float), N) for v in (incumbent, candidate or incumbent)]
    column = ScoreColumns(incumbent=values[0], candidate=values[1], incumbent_scored=known, candidate_scored=known)
    numbers = np.arange(N, dtype=np.uint64)
    trial.add(Columns(asked_at=np.arange(N) * 60.0, key=numbers, cluster=numbers, alone=known, scores={"m": column}))
    return [problem.sentence for problem in unprovable(trial, {} if probes is None else {"m": probes})]


def probed(worse, scored=100):
    return ProbeCount(eligible=N, tried=100, scored=scored, worse=worse, reasons={"no model": 3})


@pytest.mark.parametrize(
    ("metric", "values", "silent"),
    [
        (GOOD, [0.0], False),
        (BAD, [1.0], False),
        (GOOD, [1.0], True),
        (BAD, [0.0], True),
        (GOOD, [0.0] * 19 + [1.0], False),
        (GOOD, [0.0] * 9 + [1.0], True),
        (Metric(name="m", low=1.0, high=5.0), [1.0], False),
        (Metric(name="m", low=1.0, high=5.0), [2.0], True),
    ],
)
def test_scores_at_their_worst_in_both_arms_prove_nothing(metric, values, silent):
    """The worst is at the range's end in the metric's direction."""
    said = sentences(metric, no_worse("m", by=0.01), values, probes=probed(90))
    assert (said == []) == silent
    assert all("m proves nothing: it is at its worst" in each for each in said)


def test_an_arm_that_left_the_worst_end_is_looked_at():
    """Harm or gain of one arm is evidence."""
    assert sentences(GOOD, no_worse("m", by=0.01), [0.0], [0.0, 1.0]) == []  # it rose
    assert sentences(GOOD, better("m", by=0.01), [0.0], [0.0, 1.0]) == []
    assert sentences(GOOD, no_worse("m", by=0.01), [0.0, 1.0], [0.0]) == []


def test_a_margin_that_allows_the_worst_proves_nothing():
    """The incumbent lies nearer to the worst than the margin is wide."""
    (said,) = sentences(GOOD, no_worse("m", by=0.2), [0.0] * 9 + [1.0])
    assert "with a margin of 0.2 a candidate that always scores worst would pass" in said


@pytest.mark.parametrize(
    ("count", "part"),
    [
        (probed(0), "in only 0 of 100 probed pairs"),
        (probed(4), "in only 4 of 100 probed pairs"),
        (probed(5), ""),
        (probed(0, scored=0), "none got a score .no model."),
        (ProbeCount(), ""),
        (None, ""),
    ],
)
@pytest.mark.parametrize("gate", [no_worse("m", by=0.05), at_least("m", 0.2)], ids=lambda gate: gate.sentence)
def test_a_metric_that_probes_do_not_move_proves_nothing(count, part, gate):
    """At least one probed pair in twenty must come out worse."""
    said = sentences(GOOD, gate, [0.2, 0.9], probes=count)
    assert bool(said) == bool(part)
    assert all("fact_of_run=True" in each for each in said)


def test_which_metrics_are_probed():
    """Those by which a gate could be proven without moving, unless they are facts of a run."""
    fact = Metric(name="m", fact_of_run=True)
    gates = {
        no_worse("m", by=0.1): True,
        at_least("m", 0.1): True,
        better("m", by=0.1): False,
        no_worse("m", by=0.1, dry_run=True): False,
        no_worse("other", by=0.1): False,
    }
    assert {gate: needs_probes(GOOD, (gate,)) for gate in gates} == gates
    assert not needs_probes(fact, tuple(gates))
    assert needs_probes(BAD, (at_most("m", 0.1),))
