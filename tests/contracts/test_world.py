"""What every world keeps to, ours or a user's."""

import copy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "candidate" / "targets"))

from candidate_rig import call, envelope

from shadoweval import EntityWorld, InstanceWorld, SqliteWorld, codec
from shadoweval.candidate.tools.replay import KeyedRequest, Record
from shadoweval.capture.identity import call_key
from shadoweval.protocols import OpenWorld, StubAnswer, World

RECORD = Record([call("look", {"n": 1}, "seen")])


class Paid:
    def __init__(self):
        self.paid = []

    def pay(self, n):
        self.paid.append(n)
        return list(self.paid)

    def total(self):
        return sum(self.paid)


def pay_entity(world, n):
    world["paid"] = world.get("paid", 0) + n
    return world["paid"]


def total_entity(world):
    return world.get("paid", 0)


def pay_dict(state, n):
    state["paid"] = state.get("paid", 0) + n
    return state["paid"]


def total_dict(state):
    return state.get("paid", 0)


class CountingWorld(World):
    """The world of docs/stubs.md, of the user's own making."""

    def opened(self, record, *, envelope, scratch):
        return OpenCountingWorld()


class OpenCountingWorld(OpenWorld):
    def __init__(self):
        self.paid = 0

    def answer(self, request):
        if request.name == "pay":
            self.paid += request.arguments["n"]
        return StubAnswer(answered="world", result=self.paid) if request.name in {"pay", "total"} else None

    def precedes(self, request):
        return request.name == "pay" or (request.name == "total" and self.paid > 0)

    def close(self):
        self.paid = 0


def database(tmp_path, monkeypatch):
    import sqlite3

    path = tmp_path / "paid.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE paid (n)")
    db.commit()
    db.close()
    monkeypatch.setenv("CONTRACT_DATABASE", str(path))
    return SqliteWorld(env="CONTRACT_DATABASE", tools=("pay", "total"))


WORLDS = {
    "InstanceWorld of a class": lambda *_: InstanceWorld(Paid, tools=["pay", "total"]),
    "InstanceWorld of a dict": lambda *_: InstanceWorld({}, tools={"pay": pay_dict, "total": total_dict}),
    "EntityWorld": lambda *_: EntityWorld({"pay": pay_entity, "total": total_entity}),
    "SqliteWorld": database,
    "a user's": lambda *_: CountingWorld(),
}


def run(name, n=0):
    """The tools themselves, for a world that runs them."""
    import os
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(os.environ["CONTRACT_DATABASE"])) as db, db:
        if name == "pay":
            db.execute("INSERT INTO paid VALUES (?)", (n,))
        return db.execute("SELECT coalesce(sum(n), 0) FROM paid").fetchone()[0]


def request(name, effect, **arguments):
    facts = {"name": name, "arguments": arguments, "effect": effect, "occurrence": 1}
    return KeyedRequest(**facts, key=call_key(arguments), record=RECORD, live=lambda: run(name, **arguments))


@pytest.fixture(params=WORLDS)
def world(request, tmp_path, monkeypatch):
    return WORLDS[request.param](tmp_path, monkeypatch)


@pytest.fixture
def opened(world, tmp_path):
    made = []

    def make():
        made.append(world.opened(RECORD, envelope=envelope(), scratch=tmp_path))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_it_is_a_world_that_can_be_sent(world):
    """It goes to the candidate's process as bytes, and says whether it needs that to itself."""
    assert isinstance(world, World)
    assert isinstance(codec.thaw(codec.freeze(world)).exclusive, bool)


def test_a_write_comes_before_the_record_and_is_read_again(opened):
    """A modelled write is answered here, and from then on reads of it are."""
    one = opened()
    wrote = request("pay", "write", n=3)

    assert one.precedes(wrote)
    answer = one.answer(wrote)
    one.observe_write(wrote, answer)
    assert answer.answered in {"world", "replayed"}
    assert isinstance(one.entity(wrote), str)
    assert one.precedes(request("total", "read"))
    assert one.answer(request("total", "read")).result == 3


def test_before_any_write_the_record_comes_first(opened):
    """Nothing has changed, so what the incumbent read is the truth."""
    assert not opened().precedes(request("total", "read"))


def test_what_it_does_not_model_is_passed_on(opened):
    """Also after a write."""
    one = opened()
    one.answer(request("pay", "write", n=1))
    for effect in ("read", "write", "unknown"):
        assert not one.precedes(request("nobody_knows", effect))
        assert one.answer(request("nobody_knows", effect)) is None


def test_nothing_of_one_query_is_left_for_the_next(opened):
    """Each query begins where the world stood."""
    one = opened()
    one.answer(request("pay", "write", n=3))
    one.close()
    one.close()

    assert opened().answer(request("total", "read")).result == 0


def test_it_leaves_the_request_alone(opened):
    """Arguments are as before when it has answered."""
    asked = request("pay", "write", n=2)
    before = copy.deepcopy(asked.arguments)
    opened().answer(asked)

    assert asked.arguments == before
