import json

import pytest
from candidate_rig import call, envelope

from shadoweval import Simulate, Stubs
from shadoweval.candidate.tools.session import Session
from shadoweval.candidate.tools.simulated import from_recorded, from_schema

PAID = call(
    "refund",
    {"order_id": "K-1", "amount": 500, "reason": "late"},
    {"refund_id": 12, "order_id": "K-1", "amount": 500, "status": "paid", "text": "500 cents for K-1 (late)"},
    effect="write",
)
ASKED = {"order_id": "K-77", "amount": 900, "reason": "damaged"}


def test_a_simulated_result_has_the_candidate_s_arguments():
    """The incumbent's result, with the candidate's arguments in it and an identifier that no real system gave out."""
    made = from_recorded(PAID, ASKED, number=3)

    assert made == {
        "refund_id": -3,
        "order_id": "K-77",
        "amount": 900,
        "status": "paid",
        "text": "500 cents for K-77 (damaged)",
    }


def test_results_that_are_json_text_stay_json_text():
    """Agents get structures as text; the simulated one is of the same kind."""
    recorded = call("refund", PAID.arguments, json.dumps(PAID.result), effect="write")
    made = from_recorded(recorded, ASKED)

    assert json.loads(made)["order_id"] == "K-77"
    assert json.loads(made)["refund_id"] == -1


SCHEMA = {
    "type": "object",
    "properties": {
        "ticket_id": {"type": "string"},
        "number": {"type": "integer"},
        "status": {"enum": ["open", "closed"]},
        "note": {"anyOf": [{"type": "null"}, {"type": "string"}]},
        "lines": {"type": "array", "items": {"type": "string"}},
        "done": {"type": "boolean"},
        "price": {"type": "number", "minimum": 1},
        "owner": {"$ref": "#/$defs/owner"},
        "order_id": {"type": "string"},
    },
    "$defs": {"owner": {"type": "object", "properties": {"name": {"type": "string", "default": "nobody"}}}},
}


def test_a_schema_gives_the_smallest_result_that_fits():
    """Each kind of a JSON schema has its value; arguments are put where they belong."""
    assert from_schema(SCHEMA, {"order_id": "K-1"}, number=2) == {
        "ticket_id": "simulated-2",
        "number": -2,
        "status": "open",
        "note": "simulated",
        "lines": [],
        "done": True,
        "price": 1,
        "owner": {"name": "nobody"},
        "order_id": "K-1",
    }


def test_a_recursive_schema_ends():
    """A schema that refers to itself gives a finite value."""
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}

    assert json.dumps(from_schema(tree, {})).count("next") < 20


@pytest.mark.parametrize(("effect", "answered"), [("write", "simulated"), ("unknown", "refused"), ("read", "refused")])
def test_only_writes_are_simulated(effect, answered, tmp_path):
    """An acknowledged write misleads nobody; an invented read would, and what nobody declared may be a read."""
    opened = Session(Stubs(default=[Simulate()]), envelope(calls=[PAID]), scratch=tmp_path)

    assert opened.answer("refund", ASKED, effect=effect, live=None).answered == answered


@pytest.mark.parametrize("effect", ["read", "unknown"])
def test_reads_are_made_up_for_who_asks(effect, tmp_path):
    """`Simulate(effects=...)` says so in so many words."""
    stubs = Stubs(default=[Simulate(effects=("read", "write", "unknown"))])
    opened = Session(stubs, envelope(calls=[PAID]), scratch=tmp_path)

    assert opened.answer("refund", ASKED, effect=effect, live=None).answered == "simulated"


def test_identifiers_differ_from_call_to_call(tmp_path):
    """Two simulated refunds are two refunds."""
    opened = Session(Stubs(default=[Simulate()]), envelope(calls=[PAID]), scratch=tmp_path)
    made = [opened.answer("refund", ASKED, effect="write", live=None).result["refund_id"] for _ in range(2)]

    assert len(set(made)) == 2


def test_without_a_shape_nothing_is_simulated(tmp_path):
    """No recorded call and no schema: refused. A failed call has no shape either."""
    failed = call("refund", PAID.arguments, error="ShopError: no", effect="write")
    bare = Session(Stubs(), envelope(calls=[failed]), scratch=tmp_path)
    with_schema = Session(Stubs(schemas={"refund": SCHEMA}), envelope(), scratch=tmp_path)

    assert bare.answer("refund", ASKED, effect="write", live=None).answered == "refused"
    assert with_schema.answer("refund", ASKED, effect="write", live=None).answered == "simulated"


@pytest.mark.parametrize(
    ("recorded", "asked", "result", "made"),
    [
        ({"frm": "Ben", "to": "Anna"}, {"frm": "Anna", "to": "Ben"}, "Ben to Anna", "Anna to Ben"),
        ({"title": "at"}, {"title": "login bug"}, "Created: at", "Created: login bug"),
        ({"title": "at"}, {"title": "login bug"}, {"status": "Created"}, {"status": "Created"}),
        ({"order": "K-1"}, {"order": "K-2"}, "K-1, not K-12 or K-1-b. K-1.", "K-2, not K-12 or K-1-b. K-2."),
        ({"who": "ann"}, {"who": "bob"}, "ann <ann@x.example>", "bob <ann@x.example>"),
        ({"a": "x", "b": "x y"}, {"a": "1", "b": "x"}, "x y, x", "x, 1"),
        ({"frm": "Ben", "to": "Ben"}, {"frm": "Ann", "to": "Cid"}, "Ben to Ben", "Ben to Ben"),
        ({"frm": "Ben", "to": "Ben"}, {"frm": "Ann", "to": "Ben"}, "Ben to Ben", "Ben to Ben"),
        ({"urgent": True}, {"urgent": False}, {"done": True}, {"done": True}),
        ({"to": ["a"]}, {"to": ["b", "c"]}, {"to": ["a"], "sent": 1}, {"to": ["b", "c"], "sent": 1}),
        ({"to": ["a"]}, {"to": ["b", "c"]}, {"recipients": ["a"]}, {"recipients": ["b", "c"]}),
        ({"note": ""}, {"note": "x"}, {"text": "", "more": "a"}, {"text": "", "more": "a"}),
        ({"who": "安娜"}, {"who": "本"}, "退款给安娜了", "退款给本了"),
        ({"to": r"\g<0>"}, {"to": r"\1"}, r"to \g<0>", r"to \1"),
    ],
)
def test_values_are_exchanged_whole_and_at_once(recorded, asked, result, made):
    """No value is exchanged twice, none inside a longer word, and none that would become two different ones."""
    assert from_recorded(call("act", recorded, result, effect="write"), asked) == made


def test_what_a_worker_saw_before_changes_no_made_up_result(tmp_path):
    """A write that this query's record does not know is refused, whatever earlier envelopes had."""
    opened = Session(Stubs(), envelope(), scratch=tmp_path)

    assert opened.answer("refund", {"to": "K-9"}, effect="write", live=None).answered == "refused"
