"""How an agent went about it."""

import pytest

from shadoweval.records import Failure, Scored, Step, ToolCall, Unscored
from shadoweval.scoring import steps
from shadoweval.scoring.steps import after_failure, loops_of, recovered, retries_of
from shadoweval.testing import make_observation, make_pair, make_query


def call(name, result="ok", *, error=None, effect="read", **arguments):
    return ToolCall(name=name, arguments=arguments, result=result, error=error, effect=effect)


LOOK, DOWN = call("look", id=1), call("look", None, error="ConnectionError: down", id=1)
PAY = call("pay", effect="write")

WAYS = [
    ([], 0, 0, None),
    ([LOOK, PAY], 0, 0, None),
    ([LOOK, LOOK, LOOK], 2, 0, None),
    ([LOOK, call("look", "shipped", id=1)], 0, 0, None),  # it has got on
    ([LOOK, call("look", id=2)], 0, 0, None),
    ([LOOK, PAY, LOOK], 0, 0, None),  # and may look again at what it changed
    ([DOWN, LOOK], 0, 1, True),
    ([DOWN, DOWN], 1, 1, False),
    ([DOWN, PAY], 0, 0, False),
    ([LOOK, DOWN, PAY, LOOK], 0, 1, True),
]


@pytest.mark.parametrize(("calls", "loops", "retries", "over"), WAYS)
def test_loops_retries_and_recovery(calls, loops, retries, over):
    """A loop is a call without news; a retry follows a failure; recovery is a later success."""
    assert (loops_of(calls), retries_of(calls), recovered(calls)) == (loops, retries, over)


def test_each_is_a_metric_of_both_arms():
    """Model calls and retrievals are steps too; parts of a graph are not."""
    parts = tuple(Step(kind=kind, name=kind) for kind in ("model", "retrieval", "tool", "other", "model"))
    pair = make_pair(served={"calls": [LOOK], "steps": parts}, shadow={"calls": [DOWN, LOOK, LOOK]})
    scores = {score.metric: (score.incumbent, score.candidate) for score in steps().score(pair)}

    assert scores["steps"] == (Scored(4.0), Scored(3.0))
    assert scores["loops"] == (Scored(0.0), Scored(1.0))
    assert scores["retries"] == (Scored(0.0), Scored(1.0))
    assert scores["recovery"] == (Unscored("no tool call failed", informative=False), Scored(1.0))


FOLLOWED = [
    ([LOOK, PAY], ""),
    ([LOOK, DOWN], "look failed in call 2 (ConnectionError: down); answered all the same"),
    ([DOWN, PAY], "look failed in call 1 (ConnectionError: down); went on with pay"),
    ([DOWN, LOOK], "look failed in call 1 (ConnectionError: down); called it 1 more time, which succeeded"),
    ([DOWN, DOWN, DOWN], "look failed in call 1 (ConnectionError: down); called it 2 more times, in vain"),
]


@pytest.mark.parametrize(("calls", "said"), FOLLOWED)
def test_the_first_failing_step_and_what_followed(calls, said):
    """In words, for whoever reads the query."""
    assert after_failure(make_observation(make_query(), calls=calls)) == said


def test_a_run_may_fail_with_its_tool():
    """Then nothing followed."""
    run = make_observation(make_query(), failure=Failure(kind="error"), calls=[DOWN])

    assert after_failure(run).endswith("the run failed with it")
