"""What every StubPolicy keeps to, ours or a user's."""

import copy
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "candidate" / "targets"))

from candidate_rig import call, envelope

from shadoweval import EntityWorld, InstanceWorld, Live, Refuse, Replay, Simulate, SqliteWorld
from shadoweval.candidate.tools.replay import KeyedRequest, Record
from shadoweval.candidate.tools.stubs import Function
from shadoweval.capture.identity import call_key
from shadoweval.protocols import StubAnswer
from shadoweval.records import Answered
from shadoweval.testing import FixedStub

RECORD = Record([call("pay", {"n": 1}, {"id": 3, "n": 1}, effect="write"), call("look", {"n": 1}, "seen")])


def modelled(world, n):
    world["paid"] = n
    return {"paid": n}


def modelled_dict(state, n):
    state["paid"] = n
    return {"paid": n}


def sqlite_world(tmp_path, monkeypatch):
    import sqlite3

    sqlite3.connect(tmp_path / "real.sqlite").close()
    (tmp_path / "real.sqlite").touch()
    monkeypatch.setenv("CONTRACT_DATABASE", str(tmp_path / "real.sqlite"))
    world = SqliteWorld(env="CONTRACT_DATABASE", tools=("pay",))
    return world.opened(RECORD, envelope=envelope(), scratch=tmp_path)


POLICIES = {
    "Replay": lambda *_: Replay(),
    "Simulate": lambda *_: Simulate(),
    "Function": lambda *_: Function(lambda n: {"paid": n}),
    "Live": lambda *_: Live(),
    "Refuse": lambda *_: Refuse(),
    "EntityWorld": lambda *_: EntityWorld({"pay": modelled}).opened(RECORD, envelope=envelope(), scratch=Path()),
    "InstanceWorld": lambda *_: InstanceWorld({}, tools={"pay": modelled_dict}).opened(
        RECORD, envelope=envelope(), scratch=Path()
    ),
    "SqliteWorld": sqlite_world,
    "FixedStub": lambda *_: FixedStub({"pay": "paid"}),
}


def request(effect, *, name="pay", occurrence=1, live=None, n=1):
    facts = {"name": name, "arguments": {"n": n}, "effect": effect, "occurrence": occurrence, "live": live}
    return KeyedRequest(**facts, key=call_key({"n": n}), record=RECORD)


@pytest.fixture(params=POLICIES)
def policy(request, tmp_path, monkeypatch):
    made = POLICIES[request.param](tmp_path, monkeypatch)
    yield made
    if hasattr(made, "close"):
        made.close()


@pytest.mark.parametrize("effect", ["read", "write", "unknown"])
@pytest.mark.parametrize("occurrence", [1, 2])
def test_it_gives_an_answer_or_none(policy, effect, occurrence):
    """A StubAnswer with a known way of answering, or None; never both a result and an error."""
    answer = policy.answer(request(effect, occurrence=occurrence))

    assert answer is None or isinstance(answer, StubAnswer)
    if answer is not None:
        assert answer.answered in Answered.__args__
        assert answer.error is None or answer.result is None


@pytest.mark.parametrize("effect", ["write", "unknown"])
def test_no_write_is_answered_live(policy, effect):
    """Whatever it does, it does not call a write's result live."""
    for n in (1, 2):
        answer = policy.answer(request(effect, n=n))
        assert answer is None or answer.answered != "live"


def test_it_leaves_the_request_alone(policy):
    """Arguments are as before when it has answered."""
    asked = request("write")
    before = copy.deepcopy(asked.arguments)
    policy.answer(asked)

    assert asked.arguments == before


def test_a_tool_it_does_not_know_is_passed_on_or_refused(policy):
    """It makes nothing up for a tool that nobody told it of."""
    if isinstance(policy, Function):
        pytest.skip("a function is asked for its own tool only")
    answer = policy.answer(request("write", name="nobody_knows"))

    assert answer is None or answer.answered == "refused"


def test_only_a_policy_that_runs_tools_runs_the_tool(policy):
    """live() is called by Live for reads and by a database world for its own tools; by no other."""
    ran = []
    for effect in ("read", "write", "unknown"):
        policy.answer(request(effect, live=lambda effect=effect: ran.append(effect)))

    expected = {"Live": ["read"], "OpenSqliteWorld": ["read", "write", "unknown"]}
    assert ran == expected.get(type(policy).__name__, [])
