"""What `failed=` may be beside a function."""

import pickle
import re

import pytest

from shadoweval import Stubs, tool
from shadoweval.capture.failed_results import failure_in
from shadoweval.capture.failure_rules import checked_judge, named
from shadoweval.errors import ArgumentError

MCP = {"content": [{"type": "text", "text": '{"state": "declined"}'}], "isError": False}

SAID = [
    ("$.fault.code", {"fault": {"code": 7}}, True),
    ("$.fault.code", {"fault": {"code": 0}}, False),
    ("$.fault.code", {"fault": None}, False),
    ("$.fault.code", "no JSON", False),
    ("$.fault.code", {"isError": True}, True),  # the rule of common forms holds beside it
    (lambda result: False, {"isError": True}, False),  # a function takes its place
    ("$.items[0].problem", {"items": [{"problem": "gone"}]}, True),
    ("$.items[*].problem", {"items": [{}, {"problem": "gone"}]}, True),
    ("$.items[0].problem", {"items": [{}, {"problem": "gone"}]}, False),
    ("$.items[-1].problem", {"items": [{}, {"problem": "gone"}]}, True),
    ("$['no such']", {"no such": True}, True),
    ("$[0]", [0], False),
    ("$[1]", [0], False),
    ({"$.state": ["declined", "expired"]}, {"state": "expired"}, True),
    ({"$.state": ["declined", "expired"]}, {"state": "paid"}, False),
    ({"$.state": "declined"}, '{"state": "declined"}', True),
    ({"$.state": "declined"}, MCP, True),
    ({"$.paid": False}, {"paid": False}, True),
    ({"$.paid": False}, {"paid": 0}, False),
    ({"$.code": 7, "$.state": "declined"}, {"state": "declined"}, True),
    (re.compile("^DECLINED"), "DECLINED by the bank", True),
    (re.compile("^DECLINED"), "not DECLINED", False),
    (re.compile("declined", re.IGNORECASE), "DECLINED", True),
    (re.compile("declined"), MCP, True),
    (re.compile("declined"), {"state": "declined"}, True),
]


@pytest.mark.parametrize(("said", "result", "failure"), SAID)
def test_a_path_values_and_a_pattern_say_what_a_failure_is(said, result, failure):
    """Also in another process, and in results that hold their JSON as text."""
    judge = checked_judge("failed", said)
    judge = judge if callable(said) else pickle.loads(pickle.dumps(judge))

    assert bool(failure_in(result, judge)) is failure
    assert named(judge) == named(checked_judge("failed", said))


@pytest.mark.parametrize(
    "said", ["error", "$", "$.a[", "$a", "", {}, {"state": "x"}, {3: 1}, re.compile(b"x"), 7], ids=repr
)
def test_what_is_none_of_them_is_refused_where_it_is_written(said):
    """The error says what may be written."""
    for declare in (lambda: tool(failed=said)(print), lambda: Stubs(failed={"pay": said})):
        with pytest.raises(ArgumentError, match="failed"):
            declare()


def test_two_rules_differ_by_what_they_say():
    """An evaluation begins anew where a rule is another."""
    said = ("$.a", "$.b", {"$.a": 1}, re.compile("a"), re.compile("a", re.IGNORECASE))
    rules = [checked_judge("failed", each) for each in said]

    assert len({named(rule) for rule in rules}) == len(rules)
