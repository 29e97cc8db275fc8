"""What a tool call leaves beside its result."""

import collections
from dataclasses import dataclass, field

import msgspec
import pytest

from shadoweval.capture.beside import CHANGED, MISSING, Watched, changed_as, rebuilt, watched, written
from shadoweval.capture.copying import argument_data
from shadoweval.capture.recorder import Recorder, recording
from shadoweval.capture.tools import tool
from shadoweval.codec import data


@dataclass
class Basket:
    lines: list = field(default_factory=list)


class Opaque:
    """Holds what no process can be given."""

    def __init__(self):
        self.held = (part for part in "ab")


def left(change, **arguments):
    """What a tool that does `change` to its arguments left, as a replay gets it."""
    watch = watched(argument_data(arguments), arguments)
    change(**arguments)
    return rebuilt(msgspec.msgpack.decode(written(watch.left_by(), 1 << 20)))


CHANGES = {
    "a list": (lambda rows: rows.append(1), lambda: {"rows": [0]}),
    "a list emptied": (lambda rows: rows.clear(), lambda: {"rows": [0, 1]}),
    "a mapping": (lambda index: (index.pop("a"), index.update(b=[1])), lambda: {"index": {"a": 1}}),
    "a part of a part": (lambda index: index["a"][0].append(2), lambda: {"index": {"a": [[1]]}}),
    "a set": (lambda seen: seen.discard(1), lambda: {"seen": {1, 2}}),
    "bytes": (lambda buffer: buffer.extend(b"!"), lambda: {"buffer": bytearray(b"a")}),
    "a queue": (lambda queue: queue.appendleft(0), lambda: {"queue": collections.deque([1])}),
    "an object": (lambda basket: basket.lines.append("x"), lambda: {"basket": Basket(["y"])}),
    "what lies in a tuple": (lambda pair: pair[1].append(3), lambda: {"pair": (1, [2])}),
    "one of two": (lambda rows, other: rows.reverse(), lambda: {"rows": [1, 2], "other": [3]}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_made_again_in_place(what):
    change, make = CHANGES[what]
    expected, again = make(), make()
    beside = left(change, **expected)
    (name,) = beside[CHANGED]
    assert again != expected
    assert changed_as(beside, again)
    assert again == expected
    assert again[name] is not beside[CHANGED][name]


def test_whoever_holds_a_part_sees_the_change():
    again = {"index": {"a": [[1]]}}
    part = again["index"]["a"][0]
    assert changed_as(left(lambda index: index["a"][0].append(2), index={"a": [[1]]}), again)
    assert part == [1, 2]


def test_nothing_is_left_where_nothing_was_changed():
    arguments = {"rows": [1], "basket": Basket(), "pair": (1, [2])}
    assert watched(argument_data(arguments), arguments).left_by() == {}


def test_arguments_that_nobody_can_change_are_not_watched():
    arguments = {"order": "K-1", "amount": 2, "raw": b"x", "none": None}
    assert type(watched(argument_data(arguments), arguments)) is bytes
    assert type(watched(argument_data({"rows": []}), {"rows": []})) is Watched


def test_a_change_that_cannot_be_copied_is_named():
    beside = left(lambda rows: rows.append(Opaque()), rows=[])
    assert beside == {MISSING: ["rows"]}


@pytest.mark.parametrize("arguments", [{}, {"rows": (1,)}, {"rows": "text"}], ids=["gone", "a tuple", "a text"])
def test_a_change_that_cannot_be_made_is_said(arguments):
    assert not changed_as({CHANGED: {"rows": [1, 2]}}, arguments)


def test_what_is_larger_than_the_room_is_named():
    assert data(written({CHANGED: {"rows": ["x" * 100], "few": [1]}}, 50)) == {
        CHANGED: {"few": [1]},
        MISSING: ["rows"],
    }


def test_a_recorded_call_tells_what_it_changed_and_its_arguments_as_they_were():
    @tool(effect="read")
    def fill(rows, word):
        rows.append(word)
        return len(rows)

    recorder, rows = Recorder(), []
    with recording(recorder):
        fill(rows, "a")
        fill(rows=rows, word="b")
        fill([], word="c")
    first, second, third = recorder.parts().tool_calls
    assert (first.arguments, first.beside) == ({"rows": [], "word": "a"}, {CHANGED: {"rows": ["a"]}})
    assert (second.arguments, second.beside) == ({"rows": ["a"], "word": "b"}, {CHANGED: {"rows": ["a", "b"]}})
    assert third.beside == {CHANGED: {"rows": ["c"]}}
    assert all(type(entry[3]) is bytes for entry in recorder.log)
