"""Which queries a report shows, and how much of them."""

import sys

import msgspec
import pytest

from shadoweval.evaluation.examples import Examples
from shadoweval.records import Failure, Hit, Outcome, Pair, ToolCall
from shadoweval.testing import make_observation, make_query


def shown(outcome=None, **fields):
    """Both arms of an example whose candidate did this, after a state."""
    query = make_query(1)
    ran = make_observation(query, "new", outcome=outcome, **fields)
    examples, again = Examples(None), Examples(None)
    examples.see(Pair(query=query, served=make_observation(query), candidate=ran), [])
    again.restore(examples.to_state())
    assert msgspec.to_builtins(again.chosen()) == msgspec.to_builtins(examples.chosen())
    (example,) = again.chosen()
    return ran, example.candidate


def test_a_run_of_usual_size_is_shown_as_it_is():
    """Its value, texts of hits, and what its tools gave."""
    call = ToolCall(name="look", arguments={"at": "x" * 5_000}, result=[1] * 2_000)
    ran, kept = shown(
        Outcome(answer="a", value={"n": [1, 2]}, hits=(Hit(id="d", rank=1, text="t"),), tool_calls=(call,))
    )
    assert kept == ran


CALL = ToolCall(name="look", arguments={"at": [[]] * 9_000, "n": 1}, result="r" * 9_000)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(value=[[]] * 199_000),
        Outcome(value={str(n): n for n in range(90_000)}),
        Outcome(value=[10**5_000] * 200),
        Outcome(answer="word " * 200_000, value="word " * 200_000),
        Outcome(answer="a", hits=tuple(Hit(id=str(n), rank=n, text="x" * 2_000) for n in range(1, 1_000))),
        Outcome(answer="a", tool_calls=(CALL,) * 50),
        Outcome(tool_calls=(CALL,) * 50),
    ],
    ids=["lists", "mapping", "huge numbers", "text", "hits", "calls", "calls alone"],
)
def test_of_a_large_run_the_beginnings_are_shown(outcome):
    """Ids and ranks of all hits, names of all calls; a crowded value of 1 MB would take 13 MB for each of 96 runs."""
    _, kept = shown(outcome)
    assert kept.outcome.truncated
    assert sys.getsizeof(kept.outcome.answer or "") < 100_000
    assert len(msgspec.msgpack.encode(kept)) < 256_000
    assert kept.outcome.value is None
    assert [(hit.id, hit.rank) for hit in kept.outcome.hits] == [(hit.id, hit.rank) for hit in outcome.hits]
    assert [call.name for call in kept.tool_calls] == [call.name for call in outcome.tool_calls]
    assert (kept.outcome.answer is None) == (outcome.answer is None and outcome.value is None)


def test_a_large_run_that_failed_shows_its_calls():
    """By the beginnings of what they were given and gave back."""
    _, kept = shown(failure=Failure(kind="timeout"), calls=(CALL,) * 50)
    assert [call.name for call in kept.tool_calls] == ["look"] * 50
    assert kept.tool_calls[0].arguments["n"] == 1
    assert kept.tool_calls[0].result == "r" * 1_000 + " … (8,000 more characters)"
