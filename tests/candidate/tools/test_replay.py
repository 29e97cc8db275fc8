import asyncio
import datetime as dt
import threading

import msgspec
import pytest
from candidate_rig import call, envelope

from shadoweval import Replay, Simulate, Stubs
from shadoweval.candidate.tools.replay import Record, call_key
from shadoweval.candidate.tools.session import Session
from shadoweval.capture import UNCOPYABLE

ORDER = {"order": "K-1"}
NOWHERE = msgspec.msgpack.Ext(4, msgspec.msgpack.encode(["no_such_module:Thing", {}]))
"""A recorded object of a class that this process does not have."""


def session(calls, tmp_path, **settings):
    settings.setdefault("default", [Replay()])
    return Session(Stubs(**settings), envelope(calls=calls), scratch=tmp_path)


def ask(opened, name, arguments, effect="read", **settings):
    answer = opened.answer(name, arguments, effect=effect, live=None, **settings)
    return answer.answered, answer.result if answer.error is None else answer.error


MISS = ("refused", "'look' is refused in a shadow")

# recorded calls, asked calls, answers
TRUTH = {
    "the same call": ([call("look", ORDER, "a")], [ORDER], [("replayed", "a")]),
    "other arguments": ([call("look", ORDER, "a")], [{"order": "K-2"}], [MISS]),
    "the tool twice with other arguments": (
        [call("look", ORDER, "a"), call("look", {"order": "K-2"}, "b")],
        [ORDER, {"order": "K-2"}],
        [("replayed", "a"), ("replayed", "b")],
    ),
    "reordered": (
        [call("look", ORDER, "a"), call("look", {"order": "K-2"}, "b")],
        [{"order": "K-2"}, ORDER],
        [("replayed", "b"), ("replayed", "a")],
    ),
    "the same arguments twice": (
        [call("look", ORDER, "before"), call("look", ORDER, "after", occurrence=2)],
        [ORDER, ORDER],
        [("replayed", "before"), ("replayed", "after")],
    ),
    "once more than the incumbent": ([call("look", ORDER, "a")], [ORDER, ORDER], [("replayed", "a"), MISS]),
    "10 is 10.0": ([call("look", {"n": 10}, "a")], [{"n": 10.0}], [("replayed", "a")]),
    "10 is not '10'": ([call("look", {"n": 10}, "a")], [{"n": "10"}], [MISS]),
    "True is not 1": ([call("look", {"n": True}, "a")], [{"n": 1}], [MISS]),
    "the order of keys": ([call("look", {"a": 1, "b": 2}, "a")], [{"b": 2, "a": 1}], [("replayed", "a")]),
    "a tuple is a list": ([call("look", {"ids": (1, 2)}, "a")], [{"ids": [1, 2]}], [("replayed", "a")]),
    "an argument too many": ([call("look", ORDER, "a")], [{**ORDER, "more": 1}], [MISS]),
    "an argument too few": ([call("look", {**ORDER, "more": 1}, "a")], [ORDER], [MISS]),
    "a failed call": ([call("look", ORDER, error="KeyError: 'K-1'")], [ORDER], [("replayed", "KeyError: 'K-1'")]),
    "another tool's call": ([call("list", ORDER, "a")], [ORDER], [MISS]),
    "a class that is not there": ([call("look", ORDER, NOWHERE)], [ORDER], [MISS]),
    "what could not be copied": ([call("look", ORDER, {UNCOPYABLE: "a cursor"})], [ORDER], [MISS]),
    "a date": ([call("look", {"on": dt.date(2026, 1, 2)}, "a")], [{"on": dt.date(2026, 1, 2)}], [("replayed", "a")]),
    "another date": ([call("look", {"on": dt.date(2026, 1, 2)}, "a")], [{"on": dt.date(2026, 1, 3)}], [MISS]),
    "a set": ([call("look", {"ids": {1, 2}}, "a")], [{"ids": {2, 1}}], [("replayed", "a")]),
    "a result of None": ([call("look", ORDER, None)], [ORDER], [("replayed", None)]),
}


@pytest.mark.parametrize("row", TRUTH)
def test_replay_is_keyed_by_tool_arguments_and_occurrence(row, tmp_path):
    """The truth table: a call is answered by the incumbent's same call, whatever order they come in, or not at all."""
    recorded, asked, answers = TRUTH[row]
    opened = session(recorded, tmp_path)

    assert [ask(opened, "look", arguments) for arguments in asked] == answers


PAY = {"order": "K-1", "amount": 500}
# recorded calls, asked calls (writes have an amount), how they are answered
WORLDS = {
    "a read after the incumbent's write is not of the candidate's moment": (
        [call("pay", PAY, "paid", effect="write"), call("look", ORDER, "paid already")],
        [ORDER],
        ["refused"],
    ),
    "it is, once the candidate has written the same": (
        [call("pay", PAY, "paid", effect="write"), call("look", ORDER, "paid already")],
        [PAY, ORDER],
        ["replayed", "replayed"],
    ),
    "nor is it after another write": (
        [call("pay", PAY, "paid", effect="write"), call("look", ORDER, "paid already")],
        [{**PAY, "amount": 7}, ORDER],
        ["simulated", "refused"],
    ),
    "a read before the incumbent's write is no answer after the candidate's": (
        [call("look", ORDER, "unpaid"), call("pay", PAY, "paid", effect="write")],
        [PAY, ORDER],
        ["replayed", "refused"],
    ),
    "the usual order": (
        [call("look", ORDER, "unpaid"), call("pay", PAY, "paid", effect="write")],
        [ORDER, PAY],
        ["replayed", "replayed"],
    ),
    "a write about something else changes nothing": (
        [call("pay", PAY, "paid", effect="write"), call("look", {"order": "K-2"}, "unpaid")],
        [{"order": "K-2"}, PAY],
        ["replayed", "replayed"],
    ),
    "an identifier that a result gave": (
        [call("pay", PAY, '{"receipt": "R-7"}', effect="write"), call("look", {"receipt": "R-7"}, "a receipt")],
        [{"receipt": "R-7"}],
        ["refused"],
    ),
    "an undeclared tool is a write": (
        [call("pay", PAY, "paid", effect="unknown"), call("look", ORDER, "paid already")],
        [ORDER],
        ["refused"],
    ),
    "a failed write wrote nothing": (
        [call("pay", PAY, error="no funds", effect="write"), call("look", ORDER, "unpaid")],
        [ORDER],
        ["replayed"],
    ),
    "whole numbers count under their own name": (
        [call("pay", {"order": 12, "amount": 500}, "paid", effect="write"), call("look", {"amount": 12}, "a")],
        [{"amount": 12}],
        ["replayed"],
    ),
}


@pytest.mark.parametrize("row", WORLDS)
def test_a_read_is_replayed_into_the_world_that_it_was_made_in(row, tmp_path):
    """The same writes to what it is about came before: else the record shows a later world, or one without its own."""
    recorded, asked, answers = WORLDS[row]
    opened = session(recorded, tmp_path, default=[Replay(), Simulate()])

    results = [
        ask(
            opened,
            *(("pay", arguments, "write") if "order" in arguments and "amount" in arguments else ("look", arguments)),
        )
        for arguments in asked
    ]

    assert [how for how, _ in results] == answers


def test_defaults_and_ignored_arguments_are_made_equal(tmp_path):
    """With the tool's own view of its arguments, a default left out and an argument it ignores change nothing."""

    def normal(arguments):
        return {"order": arguments["order"], "fields": arguments.get("fields", "all")}

    opened = session(
        [call("look", {"order": "K-1"}, "a"), call("look", {"order": "K-2", "fields": "all"}, "b")], tmp_path
    )

    assert ask(opened, "look", {"order": "K-1", "fields": "all"}, normal=normal) == ("replayed", "a")
    assert ask(opened, "look", {"order": "K-2", "invented": 7}, normal=normal) == ("replayed", "b")


def test_parallel_calls_get_one_answer_each(tmp_path):
    """Ten threads that make the same call at once get the ten recorded results, each once."""
    opened = session([call("look", ORDER, n, occurrence=n + 1) for n in range(10)], tmp_path)
    gate, results = threading.Barrier(10), []

    def make():
        gate.wait()
        results.append(ask(opened, "look", dict(ORDER))[1])

    threads = [threading.Thread(target=make) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(results) == list(range(10))


def test_repeated_reads_may_be_answered_again(tmp_path):
    """With repeat_reads the last recorded result answers further reads, but never further writes."""
    recorded = [call("look", ORDER, "a"), call("pay", ORDER, "paid", effect="write")]
    opened = session(recorded, tmp_path, default=[Replay(repeat_reads=True)])

    assert [ask(opened, "look", ORDER)[1] for _ in range(3_000)] == ["a"] * 3_000
    assert [ask(opened, "pay", ORDER, "write")[0] for _ in range(2)] == ["replayed", "refused"]


def test_what_a_candidate_does_to_a_result_stays_with_it(tmp_path):
    """Results are copies: changing one changes neither the record nor the next answer."""
    recorded = [call("look", ORDER, {"lines": []}), call("look", ORDER, {"lines": []}, occurrence=2)]
    opened = session(recorded, tmp_path, default=[Replay(repeat_reads=True)])

    for _ in range(3):
        result = ask(opened, "look", ORDER)[1]
        assert result == {"lines": []}
        result["lines"].append("mine")


def test_keys_survive_objects_that_cannot_be_read_here():
    """Arguments that stayed encoded have a key too: equal for equal ones."""
    import msgspec

    one, two = msgspec.msgpack.Ext(4, b"one"), msgspec.msgpack.Ext(4, b"two")

    assert call_key({"a": one}) == call_key({"a": msgspec.msgpack.Ext(4, b"one")})
    assert call_key({"a": one}) != call_key({"a": two})


def test_a_tool_is_indexed_when_it_is_asked_for():
    """A record of many calls costs nothing until its tool is called."""
    record = Record([call("look", {"n": n}, n) for n in range(1000)])

    assert not record._indexed
    assert len(record.index("look")) == 1000


def test_replay_runs_nothing(tmp_path):
    """Neither a hit nor a miss touches the real tool."""
    opened = session([call("look", ORDER, "a")], tmp_path)

    def live():
        raise AssertionError("it ran")

    opened.answer("look", ORDER, effect="read", live=live)
    opened.answer("look", {"order": "K-9"}, effect="read", live=live)
    asyncio.run(asyncio.sleep(0))


REFUND = call("refund", ORDER, {"refund_id": "R-1"}, effect="write")
CLOSE = call("close", ORDER, "closed", effect="write")


@pytest.mark.parametrize(
    ("recorded", "asked", "answered"),
    [
        ([REFUND, CLOSE], ["refund", "close"], ["replayed", "replayed"]),
        ([REFUND, CLOSE], ["close", "refund"], ["refused", "replayed"]),
        ([REFUND, CLOSE], ["close"], ["refused"]),
        ([REFUND, call("mail", {"to": "a@x.example"}, "sent", effect="write")], ["mail"], ["replayed"]),
    ],
    ids=["the same", "the other way round", "one left out", "about something else"],
)
def test_writes_are_replayed_in_the_same_world_only(tmp_path, recorded, asked, answered):
    """What a write gave is true only where the same had been written before it to what it is about."""
    opened = session(recorded, tmp_path)
    arguments = {c.name: c.arguments for c in recorded}

    assert [ask(opened, name, arguments[name], "write")[0] for name in asked] == answered


@pytest.mark.parametrize(
    "order", [["refund", "close", "look"], ["close", "refund", "look"], ["look", "refund", "close"]]
)
def test_calls_that_overlapped_may_have_come_in_any_order(tmp_path, order):
    """An agent's parallel calls end as they like; each has its own result in a shadow that runs them otherwise."""
    recorded = [
        msgspec.structs.replace(c, started=0.1 * n, duration=1.0)
        for n, c in enumerate([REFUND, CLOSE, call("look", ORDER, "seen")])
    ]
    opened = session(recorded, tmp_path)
    effects = {c.name: c.effect for c in recorded}

    assert [ask(opened, name, ORDER, effects[name])[0] for name in order] == ["replayed"] * 3


def test_calls_are_known_by_the_arguments_that_count(tmp_path):
    """A mail that is worded otherwise is the recorded one, where the body is said not to count."""
    recorded = [call("mail", {"to": "a", "body": "x"}, "sent", effect="write")]
    opened = session(recorded, tmp_path, compare={"mail": ["to"]})

    assert ask(opened, "mail", {"to": "a", "body": "y"}, "write") == ("replayed", "sent")
    assert ask(opened, "mail", {"to": "b", "body": "x"}, "write")[0] == "refused"
