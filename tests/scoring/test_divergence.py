"""Where two runs of one query part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.records import Failure, Outcome, Step, ToolCall
from shadoweval.scoring.divergence import first_divergence
from shadoweval.testing import make_pair


def call(name, result="ok", *, error=None, answered="replayed", **arguments):
    return ToolCall(name=name, arguments=arguments, result=result, error=error, answered=answered)


LOOK, PAY = call("look", id=1), call("pay", cents=990)

# What was served, what the candidate did, the kind of the first step that differs, its number, and words that are said.
CASES = {
    "nothing": ({}, {}, None, 0, ""),
    "answer alone": ({}, {"answer": "no"}, "no step before, other answer", 1, ""),
    "retrieval": ({"hits": ["a", "b"]}, {"hits": ["a", "c"]}, "other documents", 0, "1 of them the same"),
    "ranks": ({"hits": ["a", "b"]}, {"hits": ["b", "a"]}, "other documents", 0, "in another order"),
    "same retrieval": ({"hits": ["a"]}, {"hits": ["a"], "answer": "no"}, "same retrieval, other answer", 1, ""),
    "another tool": ({"calls": [LOOK, PAY]}, {"calls": [LOOK, call("mail")]}, "another tool", 2, "mail, not pay"),
    "another argument": (
        {"calls": [LOOK, PAY]},
        {"calls": [LOOK, call("pay", cents=99000)]},
        "another argument", 2, "cents 99000, not 990",
    ),
    "one more argument": ({"calls": [PAY]}, {"calls": [call("pay", cents=990, to="evil")]}, "another argument", 1,
                          'to "evil", not nothing'),
    "another order": ({"calls": [LOOK, PAY]}, {"calls": [PAY, LOOK]}, "another order", 1, "pay before look"),
    "stops earlier": ({"calls": [LOOK, PAY]}, {"calls": [LOOK]}, "stops earlier", 2, "does not call pay"),
    "goes on": ({"calls": [LOOK]}, {"calls": [LOOK, PAY]}, "goes on", 2, "calls pay"),
    "a call fails": ({"calls": [LOOK, PAY]}, {"calls": [LOOK, call("pay", None, error="KeyError: 1", cents=990)]},
                     "a call fails", 2, "KeyError: 1"),
    "another result": ({"calls": [LOOK]}, {"calls": [call("look", "shipped", answered="live", id=1)]},
                       "another result", 1, "live"),
    "refused": ({"calls": [LOOK]}, {"calls": [call("look", None, error="no", answered="refused", id=1)]},
                "a refused call", 1, "by the shadow"),
    "same calls": ({"calls": [LOOK]}, {"calls": [LOOK], "answer": "no"}, "same calls, other answer", 2, ""),
    "the run fails": ({"calls": [LOOK]}, {"calls": [LOOK], "failure": Failure(kind="timeout")},
                      "the run fails", 2, "timeout"),
    "the incumbent failed": ({"failure": Failure(kind="error")}, {}, "the run succeeds", 1, ""),
    "values": ({"outcome": Outcome(value=[1])}, {"outcome": Outcome(value=[2])}, "no step before, other answer", 1, ""),
    "10 and 10.0": ({"calls": [call("pay", cents=10)]}, {"calls": [call("pay", cents=10.0)]}, None, 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_first_step_that_differs_is_named(case):
    """By its kind, its number and what was done in place of what."""
    served, candidate, kind, step, words = CASES[case]
    parting = first_divergence(make_pair(served=served, shadow=candidate))

    if kind is None:
        assert parting is None
    else:
        assert (parting.kind, parting.step) == (kind, step)
        assert words in parting.text


def test_calls_that_ran_at_the_same_time_have_no_order():
    """Whichever ended first."""
    first, second = (
        ToolCall(name=name, started=0.0, duration=1.0, arguments={"id": number}) for number, name in enumerate("ab")
    )

    assert first_divergence(make_pair(served={"calls": [first, second]}, shadow={"calls": [second, first]})) is None


def test_a_search_after_the_first_call_comes_after_it():
    """What decides is which came first."""
    late = {"steps": (Step(kind="retrieval", name="search", started=5.0),)}
    parting = first_divergence(
        make_pair(served={"calls": [LOOK], "hits": ["a"], **late}, shadow={"calls": [PAY], "hits": ["b"], **late})
    )

    assert parting.kind == "another tool"


def test_what_the_shadow_ended_says_nothing_of_the_candidate():
    """Its run is no evidence."""
    ended = Failure(kind="refused", owner="shadow", cause="the tool 'mail' was refused")

    assert first_divergence(make_pair(served={"calls": [LOOK]}, shadow={"failure": ended})) is None


CALLS = st.lists(
    st.builds(lambda name, value: call(name, n=value), st.sampled_from("ab"), st.integers(0, 1)), max_size=4
)


@given(CALLS, CALLS)
def test_runs_part_where_their_calls_do(served, candidate):
    """At the length of what both have in common; a run never parts from itself."""
    parting = first_divergence(make_pair(served={"calls": served}, shadow={"calls": candidate}))
    common = next((n for n, (a, b) in enumerate(zip(served, candidate, strict=False)) if a != b),
                  min(len(served), len(candidate)))  # fmt: skip

    if served == candidate:
        assert parting is None
    else:
        assert parting.step == common + 1
