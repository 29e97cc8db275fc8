import tracemalloc

import pytest
from candidate_rig import call, envelope
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import EntityWorld, Stubs
from shadoweval.candidate.tools.entity_world import OverlayMapping
from shadoweval.candidate.tools.session import Session

RECORDED_TICKET = {"ticket_id": "T-12", "summary": "late"}


def open_ticket(world, summary):
    ticket = (world.recorded or {}).get("ticket_id") or world.fresh("T")
    world["tickets", ticket] = {"ticket_id": ticket, "summary": summary}
    return world["tickets", ticket]


def get_ticket(world, ticket_id):
    return world["tickets", ticket_id]


def list_tickets(world):
    return sorted(key[1] for key in world if key[0] == "tickets")


def close_ticket(world, ticket_id):
    if world["tickets", ticket_id].get("closed"):
        raise ValueError("it is closed")
    world["tickets", ticket_id] = {**world["tickets", ticket_id], "closed": True}
    return "closed"


def half_done(world, ticket_id):
    world["tickets", ticket_id] = "half"
    raise RuntimeError("the other half")


TOOLS = {f.__name__: f for f in (open_ticket, get_ticket, list_tickets, close_ticket, half_done)}
BASE = {("tickets", "T-1"): {"ticket_id": "T-1", "summary": "old"}}


def tickets():
    return BASE


@pytest.fixture
def session(tmp_path):
    def make(*calls):
        stubs = Stubs(worlds=[EntityWorld(TOOLS, base=tickets)], simulate=False)
        return Session(stubs, envelope(calls=calls), scratch=tmp_path)

    return make


def ask(opened, name, effect="read", **arguments):
    answer = opened.answer(name, arguments, effect=effect, live=None)
    return answer.answered, answer.result if answer.error is None else answer.error


def test_a_candidate_reads_what_it_wrote(session):
    """A ticket that it opened is there when it is asked for, and in the list, and in no other query."""
    opened = session()
    how, ticket = ask(opened, "open_ticket", "write", summary="broken")

    assert how == "world"
    assert ask(opened, "get_ticket", ticket_id=ticket["ticket_id"]) == ("world", ticket)
    assert ask(opened, "list_tickets") == ("world", ["T-1", ticket["ticket_id"]])
    assert ask(session(), "list_tickets") == ("world", ["T-1"])
    assert list(BASE) == [("tickets", "T-1")]


def test_the_same_write_as_the_incumbent_s_gets_its_identifier(session):
    """It counts as replayed, and what reads it afterwards finds it."""
    opened = session(call("open_ticket", {"summary": "late"}, RECORDED_TICKET, effect="write"))

    assert ask(opened, "open_ticket", "write", summary="late") == ("replayed", RECORDED_TICKET)
    assert ask(opened, "get_ticket", ticket_id="T-12") == ("world", RECORDED_TICKET)


def test_the_record_answers_reads_until_the_candidate_touches_what_they_read(session):
    """A read of an entity that it wrote comes from the world, all others from the incumbent's record."""
    recorded = [
        call("get_ticket", {"ticket_id": "T-1"}, "as recorded", occurrence=1),
        call("get_ticket", {"ticket_id": "T-1"}, "as recorded later", occurrence=2),
        call("get_ticket", {"ticket_id": "T-7"}, "another's", occurrence=1),
    ]
    opened = session(*recorded)

    assert ask(opened, "get_ticket", ticket_id="T-1") == ("replayed", "as recorded")
    assert ask(opened, "close_ticket", "write", ticket_id="T-1") == ("world", "closed")
    assert ask(opened, "get_ticket", ticket_id="T-1")[1]["closed"]
    assert ask(opened, "get_ticket", ticket_id="T-7") == ("replayed", "another's")


def test_what_the_world_does_not_know_goes_to_the_next_policy(session):
    """A KeyError passes the call on; other exceptions are the tool's own failure, and change nothing."""
    opened = session()

    assert ask(opened, "get_ticket", ticket_id="T-99")[0] == "refused"
    assert ask(opened, "half_done", "write", ticket_id="T-1") == ("world", "RuntimeError: the other half")
    assert ask(opened, "get_ticket", ticket_id="T-1")[1]["summary"] == "old"
    assert opened.writes() == ()


def test_writes_name_their_entity(session):
    """The write set says which entity each write touched."""
    opened = session()
    ask(opened, "close_ticket", "write", ticket_id="T-1")
    ask(opened, "close_ticket", "write", ticket_id="T-1")  # fails: it is closed

    assert [(w.tool, w.arguments, w.entity) for w in opened.writes()] == [
        ("close_ticket", {"ticket_id": "T-1"}, "tickets/T-1")
    ]


def test_a_closed_session_refuses(session):
    """What calls after the run is over is refused, and not written down."""
    opened = session()
    opened.close()

    assert ask(opened, "get_ticket", ticket_id="T-1")[0] == "refused"


ACTIONS = st.lists(st.tuples(st.sampled_from(["set", "delete", "get"]), st.integers(0, 6), st.integers()), max_size=30)


@given(base=st.dictionaries(st.integers(0, 6), st.integers()), actions=ACTIONS)
def test_an_overlay_behaves_like_a_dict_and_leaves_its_base_alone(base, actions):
    """Whatever is done to it, it equals a dict to which the same was done; the base stays what it was."""
    overlay, model, before = OverlayMapping(base), dict(base), dict(base)
    for action, key, value in actions:
        if action == "set":
            overlay[key] = model[key] = value
        elif action == "delete":
            assert overlay.pop(key, None) == model.pop(key, None)
        else:
            assert overlay.get(key) == model.get(key)

    assert dict(overlay) == model
    assert len(overlay) == len(model)
    assert base == before


def test_it_knows_what_was_touched():
    """Keys that were asked for and keys that were written, each on its own."""
    overlay = OverlayMapping({"a": 1, "b": 2})
    overlay["c"] = 3
    del overlay["a"]
    overlay.get("b")
    overlay.get("z")

    assert overlay.written == {"a", "c"}
    assert {"b", "z"} <= overlay.read


def test_a_commit_moves_writes_into_the_overlay_below():
    """Nothing reaches the base of all."""
    base = {"a": 1}
    lower = OverlayMapping(base)
    upper = OverlayMapping(lower)
    upper["a"] = 2
    assert lower["a"] == 1

    upper.commit()

    assert lower["a"] == 2
    assert base == {"a": 1}
    with pytest.raises(TypeError):
        lower.commit()


def test_memory_grows_with_what_is_written():
    """An overlay over a million entities costs what its own writes cost."""
    base = dict.fromkeys(range(1_000_000), "an entity")
    tracemalloc.start()
    overlay = OverlayMapping(base)
    for key in range(100):
        overlay[key] = "changed"
        overlay.get(key + 1000)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert used < 100_000


def as_asked(envelope):
    return {("tickets", "T-5"): {"ticket_id": "T-5", "summary": envelope.query.text}}


def test_the_base_may_go_by_the_envelope(tmp_path):
    """The state as of the query, and per conversation: `base` gets the envelope if it asks for it."""
    stubs = Stubs(worlds=[EntityWorld(TOOLS, base=as_asked)])
    opened = Session(stubs, envelope("about this"), scratch=tmp_path)

    assert ask(opened, "get_ticket", ticket_id="T-5") == ("world", {"ticket_id": "T-5", "summary": "about this"})


def test_what_a_run_has_changed_is_told_by_entity(tmp_path):
    """Without being asked to watch; a failed write has changed nothing."""
    session = Session(Stubs(worlds=[EntityWorld(TOOLS, base=tickets)]), envelope(), scratch=tmp_path)
    assert session.changed() == ({}, "")
    session.answer("close_ticket", {"ticket_id": "T-1"}, effect="write", live=None)
    session.answer("half_done", {"ticket_id": "T-2"}, effect="write", live=None)

    assert session.changed() == ({"tickets/T-1": {"ticket_id": "T-1", "summary": "old", "closed": True}}, "")
