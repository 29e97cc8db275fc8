from datetime import timedelta

import msgspec
import pytest

from shadoweval.candidate.conversations import Conversations, thread_of
from shadoweval.codec import freeze
from shadoweval.evidence.segments import KEPT
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


def marks(*pairs, conversations=None, at_once=None):
    conversations = conversations or Conversations()
    size = at_once or len(pairs)
    marked = [
        each for start in range(0, len(pairs), size) for each in conversations.marked(pairs[start : start + size])
    ]
    return [pair.candidate.diverged_at for pair in marked]


def test_turns_after_the_first_divergence_are_marked():
    """The turn that diverges is still the candidate's own; those after it name it, in their conversation alone."""
    pairs = [
        turn(1, "a", "hello", "hello "),
        turn(2, "b", "hello", "good day"),
        turn(3, "a", "yes", "no"),
        turn(4, "a", "fine", "fine"),
        turn(5, "b", "fine", "fine"),
        turn(6, "a", "bye", "bye"),
        turn(7, None, "yes", "no"),
        turn(8, None, "yes", "yes"),
    ]

    for at_once in (8, 3, 1):
        assert marks(*pairs, at_once=at_once) == [None, None, None, 2, 1, 2, None, None]


def test_a_failure_is_a_divergence():
    """Whoever got no answer would not have gone on as the user did."""
    failed = turn(1, "a", "hello", None, failure=Failure(kind="timeout"))

    assert marks(failed, turn(2, "a", "x", "x")) == [None, 1]


def test_it_can_be_taken_up_again():
    """Fed in two stretches, over a state, it marks what it marks in one; the state does not say what users call it."""
    pairs = [turn(1, "thread-a", "x", "y"), turn(2, "thread-a", "x", "x"), turn(3, "thread-a", "x", "x")]
    first, again = Conversations(), Conversations()
    marked = marks(*pairs[:2], conversations=first)
    state = msgspec.msgpack.encode(first.threads.to_state())
    again.threads.restore(msgspec.msgpack.decode(state))

    assert marked + marks(*pairs[2:], conversations=again) == marks(*pairs)
    assert b"thread-a" not in state


@pytest.mark.parametrize(("days", "diverged"), [(KEPT, 1), (KEPT + 1, None)])
@pytest.mark.parametrize("at_once", [1, 2])
def test_a_conversation_without_a_turn_in_ninety_days_begins_anew(days, diverged, at_once):
    """Whether both turns come in one batch or in two."""
    first, second = turn(1, "a", "x", "y"), turn(2, "a", "x", "x")
    later = msgspec.structs.replace(second.query, asked_at=first.query.asked_at + timedelta(days=days))

    assert marks(first, msgspec.structs.replace(second, query=later), at_once=at_once) == [None, diverged]


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
