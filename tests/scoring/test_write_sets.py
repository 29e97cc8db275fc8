"""Writes of two arms side by side."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.records import ToolCall, WriteEffect
from shadoweval.scoring.write_sets import compare_writes


def call(
    name, *, started=0.0, duration=0.0, effect="write", error=None, answered="live", result=None, handed=(), **arguments
):
    return ToolCall(
        name=name, arguments=arguments, effect=effect, error=error, answered=answered,
        started=started, duration=duration, result=result, handed=handed,
    )  # fmt: skip


def counts(incumbent, candidate, **options):
    return {kind: n for kind, n in compare_writes(incumbent, candidate, **options).counts.items() if n}


def test_writes_are_the_same_changed_missing_extra_or_duplicated():
    """Each write is counted once: an equal one, one with another argument, one left out, one too many, one again."""
    incumbent = [call("pay", n=1), call("pay", n=2), call("mail", to="a"), call("close", n=1)]
    candidate = [call("pay", n=1.0), call("pay", n=1), call("mail", to="b"), call("mail", to="b"), call("open", n=1)]

    comparison = compare_writes(incumbent, candidate)

    assert comparison.counts == {"same": 1, "changed": 1, "missing": 2, "extra": 1, "duplicated": 2, "reordered": 0}
    assert comparison.differences == (
        "mail with another to", "pay left out", "close left out", "open although the incumbent made no such call",
        "pay more often", "mail more often",
    )  # fmt: skip
    assert not comparison.equal


def test_reads_and_failed_calls_wrote_nothing_and_refused_ones_would_have():
    """Only writes that happened are expected; undeclared tools count as writes; what was refused was wanted."""
    calls = [
        call("look", n=1, effect="read"),
        call("pay", n=1, error="ShopError: no"),
        call("mystery", n=1, effect="unknown"),
        call("declared", n=1, effect="unknown"),
    ]
    refused = call("mystery", n=1, effect="unknown", answered="refused", error="refused")

    assert counts(calls, [], effects={"declared": "read"}) == {"missing": 1}
    assert counts(calls, [refused], effects={"declared": "read"}) == {"same": 1}
    assert counts(calls[:2], []) == {}
    assert compare_writes(calls[:2], []).tools == {}


@pytest.mark.parametrize(
    ("first", "second", "reordered"),
    [
        (call("refund", order="K-1"), call("close", order="K-1"), 1),
        (call("refund", order="K-1"), call("mail", to="ada"), 1),
        (call("pay", invoice="R-1"), call("pay", invoice="R-2"), 0),
        (call("move", source="A-1", to="A-2"), call("move", source="A-2", to="A-3"), 1),
        (call("refund", order="K-1", started=0.0, duration=2.0), call("close", order="K-1", started=1.0), 0),
        (call("refund", order="K-1", started=0.0, duration=1.0), call("close", order="K-1", started=1.0), 1),
    ],
    ids=["one order", "two tools", "fan-out", "chain", "at once", "one after the other"],
)
def test_the_order_of_dependent_writes_counts(first, second, reordered):
    """Two calls of one tool that share nothing, and calls that overlapped in time, have no order."""
    comparison = compare_writes([first, second], [second, first])

    assert comparison.counts["reordered"] == reordered
    assert comparison.equal == (reordered == 0)
    assert compare_writes([first, second], [first, second]).equal


@pytest.mark.parametrize(
    ("first", "second", "reordered"),
    [
        ((), (0.5,), 0),
        ((), (1.5,), 1),
        ((0.5,), (), 1),
        ((0.1,), (0.2,), 0),
        ((0.1,), (0.1, 1.5), 1),
        ((0.1, 0.2), (0.1, 0.3), 0),
        ((0.1, 0.2), (0.1, 1.5, 1.6), 1),
        ((0.1, 0.2), (0.3, 1.5), 0),
    ],
    ids=[
        "handed over before the other ended",
        "handed over after",
        "by whoever handed the other over",
        "two tasks",
        "a task of the other's own",
        "tasks of one task",
        "after another task of the same one",
        "a later task of another one",
    ],
)
def test_what_was_in_two_hands_at_once_has_no_order(first, second, reordered):
    """However far apart two calls were: the second one's task could have come first."""
    pay = call("pay", order="K-1", started=0.5, duration=0.5, handed=first)
    close = call("close", order="K-1", started=2.0, handed=second)

    assert compare_writes([pay, close], [close, pay]).counts["reordered"] == reordered


def test_chosen_arguments_alone_count():
    """A body may be worded otherwise; a name that no call has chooses nothing, rather than making all calls equal."""
    mine, other, wrong = call("mail", to="a", body="x"), call("mail", to="a", body="y"), call("mail", to="b", body="x")

    assert counts([mine], [other], compare={"mail": ["to"]}) == {"same": 1}
    assert counts([mine], [wrong], compare={"mail": ["to"]}) == {"changed": 1}
    assert compare_writes([mine], [wrong], compare={"mail": ["to"]}).differences == ("mail with another to",)
    assert counts([mine], [other], compare={"mail": ["too"]}) == {"changed": 1}


def test_writes_that_the_record_lacks_count():
    """What a process saw beside its record is an extra write, or a doubt where the record alone is the same."""
    wrote = [WriteEffect(tool="pay", arguments={"n": 1}), WriteEffect(tool="mail", arguments={"to": "all"})]

    differing = compare_writes([], [call("pay", n=1)], unrecorded=wrote)
    doubtful = compare_writes([call("pay", n=1)], [call("pay", n=1)], unrecorded=wrote)

    assert differing.counts["extra"] == 2
    assert doubtful.unclear.startswith("mail was called outside what the run's record holds")
    assert not compare_writes([call("pay", n=1)], [call("pay", n=1)], unrecorded=wrote[:1]).unclear


def test_nothing_is_missing_of_a_run_that_did_not_end():
    """What it had written until then may still be wrong."""
    wrote = [WriteEffect(tool="pay", arguments={"n": 2}), WriteEffect(tool="mail", arguments={"to": "all"})]
    incumbent = [call("pay", n=1), call("close", n=1)]

    assert compare_writes(incumbent, [], ended=False).equal
    assert counts(incumbent, [], unrecorded=wrote, ended=False) == {"changed": 1, "extra": 1}
    assert counts(incumbent, [], unrecorded=wrote) == {"changed": 1, "extra": 1, "missing": 1}


def test_what_a_replayed_tool_would_have_called_is_no_missing_write():
    """The inner tool of a tool that was answered from the record does not run: nobody can say that it is left out."""
    inner = call("note", n=1, started=0.2, duration=0.1)
    outer = call("refund", n=1, started=0.1, duration=0.5)
    replayed = call("refund", n=1, answered="replayed")

    assert "note may have been called by refund" in compare_writes([inner, outer], [replayed]).unclear
    assert compare_writes([inner, outer], [call("refund", n=1, answered="world")]).counts["missing"] == 1
    assert compare_writes([inner, outer], [call("refund", n=2, answered="replayed")]).counts["changed"] == 1


KEYS = st.lists(st.sampled_from("abcd"), max_size=12)
TOOLS = st.lists(st.tuples(st.sampled_from(["pay", "mail"]), st.sampled_from("ab")), max_size=8)


@given(TOOLS, TOOLS)
def test_the_counts_add_up(incumbent, candidate):
    """Incumbent = same + changed + missing; candidate = same + changed + extra + duplicated."""
    found = compare_writes(
        [call(name, key=key) for name, key in incumbent], [call(name, key=key) for name, key in candidate]
    )

    assert found.same + found.changed + found.missing == len(incumbent)
    assert found.same + found.changed + found.extra + found.duplicated == len(candidate)
    assert found.same == (Counter(incumbent) & Counter(candidate)).total()


@given(KEYS, KEYS)
def test_equal_means_the_same_multiset(incumbent, candidate):
    """Calls of one tool about different things have no order."""
    ours, theirs = ([call("act", key=key) for key in keys] for keys in (incumbent, candidate))

    assert compare_writes(ours, theirs).equal == (Counter(incumbent) == Counter(candidate))
