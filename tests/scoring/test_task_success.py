"""Did an agent leave the world as it should be?"""

import pytest

from shadoweval.errors import ArgumentError
from shadoweval.records import Failure, Labels, Scored, Unscored
from shadoweval.scoring import task_success
from shadoweval.scoring.task_success import meets
from shadoweval.testing import make_pair

PAID = {"refund_id": 7, "order_id": "K-1", "cents": 990}
GOALS = [
    ({}, {}, True),
    ({}, {"refunds": [PAID]}, False),
    ({"refunds": []}, {}, True),
    ({"refunds": [{"order_id": "K-1", "cents": 990}]}, {"refunds": [PAID]}, True),
    ({"refunds": [{"order_id": "K-1", "cents": 990.0}]}, {"refunds": [PAID]}, True),
    ({"refunds": [{"order_id": "K-1", "cents": "990"}]}, {"refunds": [PAID]}, False),
    ({"refunds": [{"order_id": "K-1"}]}, {"refunds": [PAID, PAID]}, False),
    ({"refunds": [{"order_id": "K-1"}]}, {}, False),
    ({"refunds": [{"order_id": "K-1"}]}, {"refunds": [PAID], "emails": [{"to": "a@b"}]}, False),
    # Each row is assigned to one that it fits, whichever comes first.
    ({"refunds": [{}, {"cents": 990}]}, {"refunds": [PAID, {"cents": 5}]}, True),
    ({"tickets/T-1": {"status": "closed"}}, {"tickets/T-1": {"status": "closed", "by": "ann"}}, True),
    ({"tickets/T-1": {"status": "closed"}}, {"tickets/T-1": {"status": "open"}}, False),
    ({"tickets/T-1": {"by": {"name": "ann"}}}, {"tickets/T-1": {"by": {"name": "ann", "id": 3}}}, True),
    ({"tickets/T-1": None}, {"tickets/T-1": None}, True),
    ({"tickets/T-1": None}, {"tickets/T-1": {"status": "open"}}, False),
    ({"balance": 0}, {"balance": 0}, True),
    ({"balance": 0}, {}, False),
    ({"balance": 10}, {"balance": 10.0}, True),
    ({"lamp": False}, {"lamp": False}, True),
    ({"lamp": False}, {"lamp": 0}, False),
    ({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, True),
]


@pytest.mark.parametrize(("goal", "changed", "met"), GOALS, ids=str)
def test_just_that_has_changed_which_the_goal_names(goal, changed, met):
    """Rows by the fields that are named, each once; nothing else."""
    assert meets(goal, changed) is met


def test_both_arms_are_held_against_the_goal_of_the_case():
    """What was served in a suite has a world as well."""
    labels = Labels(goal={"refunds": [{"cents": 990}]})
    pair = make_pair(
        served={"changed": {"refunds": [PAID, PAID]}}, shadow={"changed": {"refunds": [PAID]}}, labels=labels
    )
    (score,) = task_success().score(pair)

    assert (score.incumbent, score.candidate) == (Scored(0.0), Scored(1.0))


def test_what_was_served_in_production_is_compared_by_its_re_run():
    """It has no world; without a re-run it is unscored, as a candidate without a world is."""
    again = make_pair(shadow={"changed": {}}, rerun={"changed": {"refunds": [PAID]}}, labels=Labels(goal={}))
    alone = make_pair(shadow={"changed": None, "unwatched": "too much"}, labels=Labels(goal={}))

    (score,) = task_success().score(again)
    assert (score.incumbent, score.candidate) == (Scored(0.0), Scored(1.0))
    (score,) = task_success().score(alone)
    assert isinstance(score.incumbent, Unscored)
    assert score.candidate == Unscored("too much", informative=False)


def test_a_goal_may_be_a_function():
    """Of what has changed; without either there is no goal."""
    pair = make_pair(served={"changed": {}}, shadow={"changed": {"refunds": [PAID]}, "failure": None})
    (score,) = task_success(lambda changed: len(changed.get("refunds", ())) == 1).score(pair)
    (without,) = task_success().score(pair)

    assert (score.incumbent, score.candidate) == (Scored(0.0), Scored(1.0))
    assert isinstance(without.candidate, Unscored)


def test_parts_may_be_left_out_and_a_failed_run_has_not_done_its_task():
    """Whatever it has changed."""
    labels = Labels(goal={})
    (noisy,) = task_success(ignore=["logs"]).score(make_pair(shadow={"changed": {"logs": [{}]}}, labels=labels))
    failed = {"changed": {}, "failure": Failure(kind="error")}
    (broken,) = task_success().score(make_pair(shadow=failed, labels=labels))

    assert noisy.candidate == Scored(1.0)
    assert broken.candidate == Scored(0.0)


def test_what_can_not_be_meant_is_refused():
    """Where it is written."""
    for write in (lambda: task_success("done"), lambda: task_success(ignore="logs")):
        with pytest.raises(ArgumentError):
            write()


def test_another_goal_is_another_version():
    """Also where both have no name."""
    one = task_success(lambda changed: not changed)
    other = task_success(lambda changed: "refunds" in changed)
    assert one.version != other.version
