"""Classes of failures, counted pair by pair."""

import pytest

from shadoweval.records import Failure
from shadoweval.testing import make_observation, make_query
from shadoweval.verdict.harm_failures import FailureClasses, classes_of


@pytest.mark.parametrize(
    ("failure", "classes"),
    [
        (None, ()),
        (Failure(kind="timeout"), ("timeout",)),
        (Failure(kind="error", error_type="app.errors.Broken"), ("error", "Broken")),
        (Failure(kind="refused"), ()),
        (Failure(kind="error", owner="shadow"), ()),
    ],
)
def test_the_classes_of_a_failure(failure, classes):
    """Its kind and its exception; none of what was not the run's own doing."""
    assert classes_of(make_observation(make_query(1), "new", failure=failure)) == classes


def test_pairs_in_which_both_fail_alike_say_nothing():
    """An arm is counted where it alone fails in that way."""
    counts = FailureClasses()
    counts.count(("error", "A"), ("error", "B"))
    counts.count((), ("error", "B"))
    assert {each.name: each[1:] for each in counts} == {"error": (1, 0), "A": (0, 1), "B": (2, 0)}


def test_there_are_fifty_classes_at_most():
    """What is another name each time is one class in the end, in whatever batches it comes."""
    whole, merged = FailureClasses(), FailureClasses()
    for number in range(200):
        part = FailureClasses()
        for counts in (whole, part):
            counts.count((), (f"E{number}",))
        merged.merge(part)
    restored = FailureClasses()
    restored.restore(whole.to_state())
    assert whole == merged == restored
    assert len(whole) == 51
    assert sum(each.candidate for each in whole) == 200
