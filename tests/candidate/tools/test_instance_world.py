"""A world in two lines: an object of the user's own for each query."""

import asyncio

import pytest
from candidate_rig import call, envelope

from shadoweval import InstanceWorld, Stubs, codec
from shadoweval.candidate.tools.session import Session
from shadoweval.errors import ArgumentError, ExperimentError


class Shop:
    """State that is no database."""

    def __init__(self):
        self.orders = {"K-1": {"total": 990, "refunded": 0}}
        self.tickets = []

    def look_up(self, order):
        return self.orders[order]

    def refund(self, order, cents):
        self.orders[order]["refunded"] += cents
        return {"refund_id": f"R-{self.orders[order]['refunded']}", "order": order}

    def open_ticket(self, text):
        self.tickets.append(text)
        return {"ticket_id": f"T-{len(self.tickets)}", "number": len(self.tickets)}

    def get_ticket(self, ticket_id):
        return {"ticket_id": ticket_id, "text": self.tickets[int(ticket_id.removeprefix("T-")) - 1]}

    def list_tickets(self):
        return list(self.tickets)

    async def later(self, order):
        await asyncio.sleep(0)
        return self.refund(order, 1)


TOOLS = ["look_up", "refund", "open_ticket", "get_ticket", "list_tickets", "later"]


def as_asked(envelope):
    shop = Shop()
    shop.orders["K-1"]["total"] = len(envelope.query.text)
    return shop


def keyword(*, envelope):
    return as_asked(envelope)


def paid(state, order, cents):
    state[order] = state.get(order, 0) + cents
    return state[order]


def balance(state, order):
    return state[order]


def opened(world, tmp_path, *calls, text="How are you?"):
    return Session(Stubs(worlds=[world], simulate=False), envelope(text, calls=calls), scratch=tmp_path)


def ask(session, name, effect="read", **arguments):
    answer = session.answer(name, arguments, effect=effect, live=None)
    return answer.answered, answer.result if answer.error is None else answer.error


def test_a_candidate_reads_what_it_wrote_and_the_next_query_does_not(tmp_path):
    """Writes are applied to an object that is made for the query and thrown away after it."""
    world = InstanceWorld(Shop, tools=TOOLS)
    first = opened(world, tmp_path)

    assert ask(first, "refund", "write", order="K-1", cents=500) == ("world", {"refund_id": "R-500", "order": "K-1"})
    assert ask(first, "look_up", order="K-1") == ("world", {"total": 990, "refunded": 500})
    first.close()
    assert ask(opened(world, tmp_path), "look_up", order="K-1") == ("world", {"total": 990, "refunded": 0})


def test_what_a_method_raises_is_the_tool_s_failure(tmp_path):
    """A failed write is no write."""
    session = opened(InstanceWorld(Shop, tools=TOOLS), tmp_path)

    assert ask(session, "refund", "write", order="K-9", cents=1) == ("world", "KeyError: 'K-9'")
    assert session.writes() == ()


def test_a_dict_and_functions_will_do(tmp_path):
    """State that is given itself is copied for each query; functions get it first."""
    state = {"K-1": 5}
    world = InstanceWorld(state, tools={"pay": paid, "balance": balance})

    for _ in range(2):
        session = opened(world, tmp_path)
        assert ask(session, "pay", "write", order="K-1", cents=10) == ("world", 15)
        assert ask(session, "balance", order="K-1") == ("world", 15)
    assert state == {"K-1": 5}


@pytest.mark.parametrize("factory", [as_asked, keyword])
def test_a_factory_gets_the_envelope_if_it_asks_for_it(tmp_path, factory):
    """The world as it was when the query was asked."""
    session = opened(InstanceWorld(factory, tools=TOOLS), tmp_path, text="four")

    assert ask(session, "look_up", order="K-1")[1]["total"] == 4


RECORD = (
    call("open_ticket", {"text": "late"}, {"ticket_id": "T-900", "number": 900}, effect="write"),
    call("get_ticket", {"ticket_id": "T-900"}, {"ticket_id": "T-900", "text": "late", "by": "shop"}),
    call("list_tickets", {}, ["old", "late"]),
    call("refund", {"order": "K-7", "cents": 1}, {"refund_id": "R-70", "order": "K-7"}, effect="write"),
    call("refund", {"order": "K-8", "cents": 1}, error="ShopError: closed", effect="write"),
)


def test_who_does_the_same_is_told_the_same(tmp_path):
    """Of what the incumbent did too the record is the truth, also where this world knows nothing of it."""
    session = opened(InstanceWorld(Shop, tools=TOOLS), tmp_path, *RECORD)

    told = [ask(session, c.name, c.effect, **c.arguments) for c in RECORD]

    assert told == [("replayed", c.result if c.error is None else c.error) for c in RECORD]
    assert len(session.writes()) == 2


def test_after_a_write_of_its_own_it_reads_this_world_under_the_names_that_it_was_told(tmp_path):
    """The ticket that the incumbent was told of is found here, where it has another name."""
    session = opened(InstanceWorld(Shop, tools=TOOLS), tmp_path, *RECORD)

    ask(session, "open_ticket", "write", text="late")
    ask(session, "open_ticket", "write", text="my own")

    assert ask(session, "list_tickets") == ("world", ["late", "my own"])
    assert ask(session, "get_ticket", ticket_id="T-2") == ("world", {"ticket_id": "T-2", "text": "my own"})
    assert ask(session, "get_ticket", ticket_id="T-900")[1]["text"] == "late"

    session = opened(InstanceWorld(Shop, tools=TOOLS), tmp_path, *RECORD[:1])
    ask(session, "open_ticket", "write", text="late")
    assert ask(session, "get_ticket", ticket_id="T-900") == ("world", {"ticket_id": "T-900", "text": "late"})


def test_what_it_gives_away_is_no_part_of_the_state(tmp_path):
    """A candidate that changes a result changes its own copy."""
    session = opened(InstanceWorld(Shop, tools=TOOLS), tmp_path)

    ask(session, "look_up", order="K-1")[1]["total"] = 0

    assert ask(session, "look_up", order="K-1")[1]["total"] == 990


def test_async_methods_are_awaited(tmp_path):
    """The write is one once it has been awaited."""
    session = opened(InstanceWorld(Shop, tools=TOOLS), tmp_path)
    answer = session.answer("later", {"order": "K-1"}, effect="write", live=None)

    assert asyncio.run(answer.result) == {"refund_id": "R-1", "order": "K-1"}
    assert ask(session, "look_up", order="K-1")[1]["refunded"] == 1
    assert [write.tool for write in session.writes()] == ["later"]


def test_it_travels_to_the_candidate_s_process():
    """As bytes, as all stubs do."""
    world = codec.thaw(codec.freeze(InstanceWorld(Shop, tools=TOOLS)))

    assert world.tools == {name: name for name in TOOLS}


@pytest.mark.parametrize(
    ("factory", "tools", "complaint"),
    [
        (Shop, ["refnd"], r"a method of 'Shop', got 'refnd'. Did you mean 'refund'\?"),
        ({"K-1": 1}, ["refund"], "a method of 'dict'"),
        (Shop, {"refund": 3}, "a function"),
        (Shop, "refund", r"Write \['refund'\]"),
    ],
)
def test_a_wrong_tool_is_an_error_where_it_is_written(factory, tools, complaint):
    """And says what the object has."""
    with pytest.raises(ArgumentError, match=complaint):
        InstanceWorld(factory, tools=tools)


def test_one_object_for_two_queries_is_an_error(tmp_path):
    """What one query wrote, the next would read."""
    shared = Shop()
    world = InstanceWorld(lambda: shared, tools=TOOLS)
    opened(world, tmp_path)

    with pytest.raises(ExperimentError, match="the same object twice"):
        opened(world, tmp_path)


def test_what_a_run_has_changed_is_told_where_it_is_watched(tmp_path):
    """Parts that are other at the end, None for those that are gone; a world that nobody watches can't say."""
    state = {"K-1": 5, "K-2": 7, "K-3": 1}
    tools = {"pay": paid, "drop": lambda state, order: state.pop(order)}
    session = opened(InstanceWorld(state, tools=tools, watch=dict), tmp_path)
    assert session.changed() == ({}, "")
    ask(session, "pay", "write", order="K-1", cents=10)
    ask(session, "pay", "write", order="K-2", cents=0)
    ask(session, "drop", "write", order="K-3")

    assert session.changed() == ({"K-1": 15, "K-3": None}, "")
    assert opened(InstanceWorld(state, tools=tools), tmp_path).changed() == (None, "")
    shop = opened(InstanceWorld(Shop, tools=TOOLS, watch=vars), tmp_path)
    ask(shop, "open_ticket", "write", text="late")
    assert shop.changed() == ({"tickets": ["late"]}, "")


def test_what_can_not_be_told_costs_no_run(tmp_path):
    """A function that fails at the end, or parts that are too much to keep: why is said."""
    seen = []

    def once(state):
        seen.append(1)
        if len(seen) > 1:
            raise RuntimeError("closed")
        return {}

    failing = opened(InstanceWorld({}, tools={"pay": paid}, watch=once), tmp_path)
    large = opened(InstanceWorld({}, tools={"pay": paid}, watch=dict), tmp_path)
    ask(large, "pay", "write", order="x" * 300_000, cents=1)

    assert failing.changed() == (None, "what the run has changed can't be read: RuntimeError")
    assert large.changed()[0] is None
    assert "too much to keep" in large.changed()[1]
