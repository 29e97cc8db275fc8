"""The rule planner: what it reads out of messages and policies, and how it behaves with odd tools."""

import json

import pytest
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage

from pipelines.planner import NO_SUCH_ORDER, NOT_UNDERSTOOD, Limits, OfflinePlanner
from pipelines.shop_policies import POLICIES
from pipelines.support_agent import PLAN as GENEROUS
from pipelines.support_agent_policy_first import PLAN as POLICY_FIRST
from pipelines.support_requests import asked_amount, intents_of, named_address, order_number

ORDER = {
    "order_id": "K-10012", "customer": "a@b.example", "plan": "free", "status": "delivered",
    "placed_on": "2026-10-01", "promised_on": "2026-10-05", "delivered_on": "2026-10-25", "days_since_delivery": 8,
    "days_late": 20, "shipping": 490, "total": 6970, "refunds": [],
    "lines": [
        {"line": 1, "product": "stoneware mug", "category": "kitchen", "quantity": 1, "price": 1290},
        {"line": 2, "product": "electric kettle", "category": "kitchen", "quantity": 1, "price": 5190},
    ],
}  # fmt: skip


def play(plan, *questions, answers):
    """Let the planner talk; `answers` maps a tool's name to what it returns, as a model would see it."""
    model = OfflinePlanner(plan=plan).bind_tools([{"name": name, "description": name} for name in answers])
    messages, calls = [SystemMessage("prompt")], []
    for question in questions:
        messages.append(HumanMessage(f"Customer: a@b.example\n{question}"))
        for _ in range(30):
            messages.append(model.invoke(messages))
            if not messages[-1].tool_calls:
                break
            (call,) = messages[-1].tool_calls
            calls.append((call["name"], call["args"]))
            result = answers[call["name"]]
            messages.append(
                ToolMessage(result if isinstance(result, str) else json.dumps(result), tool_call_id=call["id"])
            )
    return calls, messages[-1].text


def shop_answers(**changes):
    found = [{"title": "Damaged goods", "text": POLICIES["Damaged goods"]}]
    return {
        "look_up_order": ORDER, "list_orders": [], "search_policy": found, "refund": {"refund_id": "R-1"},
        "send_email": {"email_id": "E-1"}, "open_ticket": {"ticket_id": "T-9"}, "get_ticket": {"status": "open"},
    } | changes  # fmt: skip


@pytest.mark.parametrize(
    ("text", "wishes"),
    [
        ("My mug arrived broken (K-10012)", ["damaged"]),
        ("K-10012 is late, and e-mail me the invoice", ["late", "receipt"]),
        ("Mail me the invoice; and K-10012 is late", ["receipt", "late"]),
        ("where is K-10012", ["status"]),
        ("Where is K-10012? It is overdue", ["late"]),
        ("How long do I have to send something back?", ["question"]),
        ("Hello?", []),
    ],
)
def test_wishes_come_in_the_order_of_the_text(text, wishes):
    """Each wish is found once, in order; asking where a parcel is belongs to any other wish."""
    assert intents_of(text) == wishes


@pytest.mark.parametrize(
    ("text", "number"), [("k10012 pls", "K-10012"), ("K 10012", "K-10012"), ("order 10012", None), ("K-123456", None)]
)
def test_order_numbers_are_read_as_customers_write_them(text, number):
    """Upper and lower case, with and without the dash; other numbers are none."""
    assert order_number(text) == number


@pytest.mark.parametrize(
    ("text", "cents"),
    [("7.50 EUR", 750), ("€10", 1000), ("5 euros back", 500), ("12,90€", 1290), ("for 10 days", None)],
)
def test_amounts_are_read_in_cents(text, cents):
    """Both decimal signs and both places of the currency."""
    assert asked_amount(text) == cents


def test_an_address_ends_before_the_sentence_does():
    """The full stop is not part of the address."""
    assert named_address("Send it to tax@elsewhere.example.") == "tax@elsewhere.example"
    assert named_address("Send it to me.") is None


def test_limits_are_read_from_the_policies_own_sentences():
    """Windows, the approval limit, exclusions and the lateness, as a person reads them there."""
    limits = {title: Limits.read(text, plus=False) for title, text in POLICIES.items()}
    assert limits["Returns"] == Limits(days=30, approval=15000, once=True, excluded="hygiene")
    assert Limits.read(POLICIES["Returns"], plus=True).days == 60
    assert limits["Damaged goods"] == Limits(days=14, approval=15000, once=True)
    assert limits["Late delivery"] == Limits(days_late=5, once=True)
    assert limits["Warranty"] == Limits(days=730)
    assert limits["Cancellation"] == Limits(approval=15000)


def test_the_plans_make_different_calls_from_the_same_tools():
    """The generous plan pays the order at once; the other reads the policy, pays the line and reads its ticket."""
    asked = "The mug from K-10012 arrived broken"
    generous, _ = play(GENEROUS, asked, answers=shop_answers())
    careful, told = play(POLICY_FIRST, asked, answers=shop_answers())
    assert [name for name, _ in generous] == ["look_up_order", "refund", "send_email"]
    assert generous[1][1] == {"order_id": "K-10012", "amount": 6970, "reason": "damaged"}
    assert [name for name, _ in careful] == [
        "look_up_order", "search_policy", "refund", "open_ticket", "get_ticket", "send_email"
    ]  # fmt: skip
    assert careful[2][1] == {"order_id": "K-10012", "amount": 1290, "reason": "damaged"}
    assert careful[4][1] == {"ticket_id": "T-9"}
    assert "12.90 EUR" in told


def test_what_the_policy_says_today_decides():
    """With another window in the policy's text the same message is refused."""
    changed = [{"title": "Damaged goods", "text": "Damage has to be reported within 3 days of delivery."}]
    calls, told = play(POLICY_FIRST, "The mug from K-10012 is cracked", answers=shop_answers(search_policy=changed))
    assert [name for name, _ in calls] == ["look_up_order", "search_policy"]
    assert "3 days" in told


def test_an_amount_below_the_price_is_taken_and_one_above_is_not():
    """Who asks for less gets that; who asks for more gets the line's price."""
    for asked, paid in (("5 EUR", 500), ("900 EUR", 1290)):
        calls, _ = play(POLICY_FIRST, f"The mug of K-10012 is scratched, {asked} please", answers=shop_answers())
        assert dict(calls)["refund"]["amount"] == paid


def test_where_several_items_may_be_meant_it_asks():
    """No write before the item is clear; the customer's next message clears it."""
    first = "Something in K-10012 is damaged"
    calls, told = play(POLICY_FIRST, first, answers=shop_answers())
    assert "Which item" in told
    assert not {name for name, _ in calls} & {"refund", "send_email", "open_ticket"}
    calls, _ = play(POLICY_FIRST, first, "The kettle.", answers=shop_answers())
    assert dict(calls)["refund"] == {"order_id": "K-10012", "amount": 5190, "reason": "damaged"}


def test_an_order_of_someone_else_is_not_shown():
    """Neither plan writes or tells anything about another customer's order."""
    foreign = shop_answers(look_up_order=ORDER | {"customer": "other@b.example"})
    for plan in (GENEROUS, POLICY_FIRST):
        calls, told = play(plan, "Cancel K-10012, the kettle is broken", answers=foreign)
        assert [name for name, _ in calls] == ["look_up_order"]
        assert told == NO_SUCH_ORDER.format(order="K-10012")


@pytest.mark.parametrize("stub", ["done", "null", "[]", "42", "{}"])
def test_a_tool_may_answer_anything(stub):
    """Whatever a simulated tool returns, the conversation ends with an answer and no call is made twice."""
    for plan in (GENEROUS, POLICY_FIRST):
        for name in shop_answers():
            question = "The mug of K-10012 is broken" if name != "list_orders" else "My mug is broken"
            calls, told = play(plan, question, answers=shop_answers(**{name: stub}))
            assert told
            assert len({json.dumps(call) for call in calls}) == len(calls)


def test_a_missing_tool_is_named_instead_of_called():
    """A planner without the tool it needs says which."""
    calls, told = play(GENEROUS, "Where is K-10012?", answers={"send_email": {}})
    assert calls == []
    assert "look_up_order" in told


def test_what_is_not_understood_leads_to_no_call():
    """A greeting is answered with a question."""
    assert play(GENEROUS, "Hello?", answers=shop_answers()) == ([], NOT_UNDERSTOOD)
