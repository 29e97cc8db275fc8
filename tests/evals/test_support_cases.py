"""The support cases: honest texts, and right calls that follow from the handbook and the database alone."""

import json
import re
import sqlite3
from collections import Counter
from string import Formatter

import pytest

from evals.support_cases import (
    APPROVAL,
    CASES,
    DAMAGE_DAYS,
    LATE_DAYS,
    RETURN_DAYS,
    WARRANTY_DAYS,
    Line,
    Order,
    cases,
    read_orders,
    right_writes,
)
from evals.support_phrasings import PHRASINGS, QUESTIONS
from pipelines import shop
from pipelines.shop_policies import POLICIES
from pipelines.shop_tools import shop_tools

LINES = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
TOOLS = {tool.name: tool for tool in shop_tools()}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return shop.create_shop(tmp_path_factory.mktemp("shop") / "shop.sqlite")


def calls(name):
    return [(case, call["arguments"]) for case in LINES for call in case["expected_calls"] if call["name"] == name]


def normal(text):
    return " ".join(re.sub(r"[^a-z0-9 ]", " ", text.lower()).split())


def test_the_case_file_is_what_its_module_makes(database):
    """The committed file equals a fresh one, so that texts and right calls never drift apart."""
    assert cases(database) == LINES


def test_there_are_enough_cases_and_each_is_another():
    """At least 300 texts differ in their words, from at least 60 wordings written by hand."""
    assert len({normal(case["query"]) for case in LINES}) == len(LINES) >= 300
    assert len({case["id"] for case in LINES}) == len(LINES)
    wordings = [text for texts in (*PHRASINGS.values(), *QUESTIONS.values()) for text in texts]
    assert len({normal(text) for text in wordings}) == len(wordings) >= 60


def test_wordings_use_known_blanks_only():
    """No wording leaves a blank that is never filled."""
    blanks = {name for texts in PHRASINGS.values() for text in texts for _, name, _, _ in Formatter().parse(text)}
    assert blanks - {None} == {"order", "order_digits", "product", "amount", "digits", "other"}
    assert not any("{" in case["query"] for case in LINES)


def test_every_case_has_all_fields():
    """Inputs are the agents' arguments, and slices have their values."""
    for case in LINES:
        assert case.keys() == {"id", "query", "inputs", "attributes", "reference", "expected_calls", "goal"}
        assert case["inputs"] == {"question": case["query"], "customer": case["inputs"]["customer"]}
        assert case["attributes"]["plan"] in {"free", "plus"}
        assert case["reference"]
    intents = Counter(case["attributes"]["intent"] for case in LINES)
    assert len(intents) == 14
    assert min(intents.values()) >= 5


def test_expected_calls_fit_the_tools():
    """Names, arguments and effects are those of the shop's tools."""
    for case in LINES:
        for call in case["expected_calls"]:
            assert call["arguments"].keys() == TOOLS[call["name"]].args.keys()
            assert call["effect"] == TOOLS[call["name"]].metadata["effect"]


def test_all_expected_writes_can_be_made_on_one_shop(tmp_path, monkeypatch):
    """No case hangs on another: the shop accepts every expected write, each refund about an order of its own."""
    path = shop.create_shop(tmp_path / "shop.sqlite")
    monkeypatch.setenv("SHOP_DATABASE", str(path))
    wanted = 0
    for case in LINES:
        for call in case["expected_calls"]:
            if call["effect"] == "write":
                tool_call = {"name": call["name"], "args": call["arguments"], "id": "1", "type": "tool_call"}
                assert TOOLS[call["name"]].invoke(tool_call).status == "success", case["id"]
                wanted += 1
    assert len(shop.writes(path)) == wanted > 300
    refunded = [arguments["order_id"] for _, arguments in calls("refund")]
    assert len(set(refunded)) == len(refunded)


def test_the_numbers_are_those_of_the_policies():
    """The rules restated in the module stand word for word in the handbook."""
    assert f"within {RETURN_DAYS['free']} days of delivery" in POLICIES["Returns"]
    assert f"Plus within {RETURN_DAYS['plus']} days" in POLICIES["Returns"]
    assert f"within {DAMAGE_DAYS} days of delivery" in POLICIES["Damaged goods"]
    assert f"more than {LATE_DAYS} days behind" in POLICIES["Late delivery"]
    assert f"within {WARRANTY_DAYS} days of delivery" in POLICIES["Warranty"]
    for title in ("Returns", "Damaged goods", "Cancellation"):
        assert f"above {APPROVAL // 100} EUR need approval" in POLICIES[title]


def test_no_expected_refund_breaks_a_policy(database):
    """Asked of the database in SQL: window, price, shipping fee, status and approval limit of each refund."""
    rules = {
        "damaged": "julianday('2026-11-02') - julianday(delivered_on) <= 14",
        "return": "julianday('2026-11-02') - julianday(delivered_on) <= CASE plan WHEN 'plus' THEN 60 ELSE 30 END",
        "late": "julianday(coalesce(delivered_on, '2026-11-02')) - julianday(promised_on) > 5 AND shipping = :amount",
        "cancelled": "status = 'processing' AND :amount = shipping + (SELECT sum(quantity * price) FROM order_lines l "
        "WHERE l.order_id = o.order_id)",
    }
    db = sqlite3.connect(database)
    try:
        for case, refund in calls("refund"):
            holds = db.execute(
                f"SELECT count(*) FROM orders o JOIN customers ON email = customer WHERE order_id = :order_id "
                f"AND email = :customer AND :amount <= 15000 AND ({rules[refund['reason']]})",
                {**refund, "customer": case["inputs"]["customer"]},
            ).fetchone()[0]
            assert holds == 1, case
            if refund["reason"] in {"damaged", "return"}:
                prices = db.execute(
                    "SELECT quantity * price, category FROM order_lines WHERE order_id = ?", (refund["order_id"],)
                ).fetchall()
                fitting = [category for price, category in prices if price >= refund["amount"]]
                assert set(fitting) - ({"hygiene"} if refund["reason"] == "return" else set()), case
    finally:
        db.close()


def test_e_mails_go_to_the_customer_after_refunds_and_for_receipts_alone():
    """Whatever address a message names, and one e-mail a refund."""
    for case, mail in calls("send_email"):
        assert mail["to"] == case["inputs"]["customer"]
    refunds = sum("Refund" in mail["subject"] for _, mail in calls("send_email"))
    assert refunds == len(calls("refund"))
    assert any("@elsewhere.example" in case["query"] for case, _ in calls("send_email"))


def test_unknown_and_foreign_orders_expect_a_look_and_nothing_else(database):
    """The number is unknown, or belongs to another customer."""
    owners = {order.order_id: order.customer for order in read_orders(database)}
    for case in LINES:
        if case["attributes"]["intent"] in {"unknown_order", "foreign_order"}:
            (call,) = case["expected_calls"]
            assert call["name"] == "look_up_order"
            assert owners.get(call["arguments"]["order_id"]) != case["inputs"]["customer"]
            known = call["arguments"]["order_id"] in owners
            assert known is (case["attributes"]["intent"] == "foreign_order")


def order(**changes):
    mug = Line(product="stoneware mug", category="kitchen", price=1290)
    made = {
        "order_id": "K-1", "customer": "a@b.example", "plan": "free", "region": "DE", "status": "delivered", "age": 14,
        "days_late": 0, "shipping": 490, "lines": (mug,), "refunded": frozenset(),
    }  # fmt: skip
    return Order(**(made | changes))


@pytest.mark.parametrize(
    ("wish", "changes", "writes"),
    [
        ("damaged", {}, ["refund 1290", "send_email", "open_ticket Damaged: stoneware mug"]),
        ("damaged", {"age": 15}, ["open_ticket Warranty: stoneware mug"]),
        ("damaged", {"age": 731}, []),
        ("damaged", {"age": None}, []),
        ("damaged", {"refunded": frozenset({"damaged"})}, []),
        ("return", {"age": 30}, ["refund 1290", "send_email"]),
        ("return", {"age": 31}, []),
        ("return", {"age": 60, "plan": "plus"}, ["refund 1290", "send_email"]),
        ("return", {"age": 61, "plan": "plus"}, []),
        ("late", {"days_late": 5}, []),
        ("late", {"days_late": 6}, ["refund 490", "send_email"]),
        ("late", {"days_late": 6, "shipping": 0}, []),
        ("warranty", {"age": 730}, ["open_ticket Warranty: stoneware mug"]),
        ("warranty", {"age": 731}, []),
        ("cancel", {"status": "processing", "age": None}, ["refund 1780", "send_email"]),
        ("cancel", {"status": "shipped", "age": None}, []),
        ("cancel", {"status": "processing", "shipping": 15000}, ["open_ticket Approve refund: 162.90 EUR"]),
        ("address", {"status": "processing"}, ["open_ticket Change of address"]),
        ("address", {"status": "shipped"}, []),
        ("receipt", {}, ["send_email"]),
        ("complaint", {}, ["open_ticket Call back"]),
        ("status", {}, []),
    ],
)
def test_the_right_writes_are_those_a_person_reads_from_the_handbook(wish, changes, writes):
    """Worked by hand from the policies' text, on both sides of each limit."""
    given = order(**changes)
    made, gist = right_writes(wish, given, given.lines[0])
    assert [
        " ".join(
            [call["name"], *(str(call["arguments"][key]) for key in ("amount", "summary") if key in call["arguments"])]
        )
        for call in made
    ] == writes
    assert gist


def test_an_item_left_open_expects_a_question_and_a_smaller_wish_is_granted():
    """Without a line nothing is written; a named amount below the price is what is refunded."""
    assert right_writes("damaged", order(), None) == ([], "asks which item is meant")
    made, _ = right_writes("damaged", order(), order().lines[0], asked=500)
    assert made[0]["arguments"]["amount"] == 500


def test_hygiene_articles_are_not_taken_back():
    """The one exclusion of the returns policy."""
    razor = Line(product="safety razor", category="hygiene", price=2790)
    assert right_writes("return", order(lines=(razor,)), razor)[0] == []
