import pytest

from shadoweval.candidate.conversations import Conversations, thread_of
from shadoweval.codec import freeze
from shadoweval.records import Failure, Pair
from shadoweval.testing import make_observation, make_query


def turn(number, thread, ours, theirs, **candidate):
    query = make_query(number, attributes={"thread_id": thread} if thread else {})
    outcome = candidate or {"answer": theirs}
    return Pair(
        query=query,
        served=make_observation(query, answer=ours),
        candidate=make_observation(query, "new", place="shadow", **outcome),
    )


def marks(*pairs, state=None):
    conversations = Conversations(state)
    return [conversations.marked(pair).candidate.diverged_at for pair in pairs], conversations.state


def test_turns_after_the_first_divergence_are_marked():
    """The turn that diverges is still the candidate's own; those after it name it, in their conversation alone."""
    diverged, state = marks(
        turn(1, "a", "hello", "hello "),
        turn(2, "b", "hello", "good day"),
        turn(3, "a", "yes", "no"),
        turn(4, "a", "fine", "fine"),
        turn(5, "b", "fine", "fine"),
        turn(6, "a", "bye", "bye"),
        turn(7, None, "yes", "no"),
        turn(8, None, "yes", "yes"),
    )

    assert diverged == [None, None, None, 2, 1, 2, None, None]
    assert state == {"a": (4, 2), "b": (2, 1)}


def test_a_failure_is_a_divergence():
    """Whoever got no answer would not have gone on as the user did."""
    failed = turn(1, "a", "hello", None, failure=Failure(kind="timeout"))

    assert marks(failed, turn(2, "a", "x", "x"))[0] == [None, 1]


def test_it_can_be_taken_up_again():
    """Fed in two stretches it marks what it marks in one."""
    pairs = [turn(1, "a", "x", "y"), turn(2, "a", "x", "x"), turn(3, "a", "x", "x")]
    first, state = marks(*pairs[:2])

    assert first + marks(*pairs[2:], state=state)[0] == marks(*pairs)[0]


@pytest.mark.parametrize(
    ("facts", "thread"),
    [
        ({"attributes": {"session_id": 7}}, "7"),
        ({"inputs": freeze((({"messages": []}, {"configurable": {"thread_id": "t-1"}}), {}))}, "t-1"),
        ({"inputs": freeze((("hi",), {"config": {"configurable": {"thread_id": "t-2"}}}))}, "t-2"),
        ({"inputs": freeze((("about thread_id",), {}))}, ""),
        ({"inputs": b"no snapshot of ours thread_id"}, ""),
        ({}, ""),
    ],
)
def test_a_thread_is_found_where_it_is_named(facts, thread):
    """In the attributes, or in LangGraph's config among the arguments; else the query stands alone."""
    assert thread_of(make_query(1, **facts)) == thread
