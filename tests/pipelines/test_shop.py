"""The example shop: seeded content, effects that are what they say, and a digest that writes alone change."""

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.messages import ToolMessage

from pipelines import shop
from pipelines.shop_policies import KEYWORDS, POLICIES
from pipelines.shop_tools import shop_tools

TOOLS = {tool.name: tool for tool in shop_tools()}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return shop.create_shop(tmp_path_factory.mktemp("shop") / "shop.sqlite", customers=40)


@pytest.fixture
def database(pristine, tmp_path, monkeypatch):
    path = shutil.copy(pristine, tmp_path / "shop.sqlite")
    monkeypatch.setenv("SHOP_DATABASE", str(path))
    return path


@pytest.fixture
def order(database):
    """An order that nothing was refunded for."""
    with sqlite3.connect(database) as db:
        row = db.execute("SELECT order_id FROM orders WHERE order_id NOT IN (SELECT order_id FROM refunds)")
        found = shop.order(row.fetchone()[0])
    db.close()
    return found


def arguments_of(tool, order):
    known = {
        "order_id": order["order_id"], "customer_email": order["customer"], "question": "Returns", "amount": 100,
        "reason": "late", "to": order["customer"], "subject": "Hello", "body": "Good day.", "summary": "Call back",
        "ticket_id": "T-1",
    }  # fmt: skip
    return {name: known[name] for name in tool.args}


def declares_read(tool):
    annotations = tool.metadata.get("annotations", {})
    return tool.metadata.get("effect") == "read" or annotations.get("readOnlyHint") is True


def dump(path):
    """The content as SQLite's own dump tells it: the independent view that the digest is held against."""
    db = sqlite3.connect(path)
    try:
        return list(db.iterdump())
    finally:
        db.close()


def test_the_same_seed_gives_the_same_shop(pristine, tmp_path):
    """Two shops with equal arguments have equal content and digests; another seed has others."""
    again = shop.create_shop(tmp_path / "a.sqlite", customers=40)
    other = shop.create_shop(tmp_path / "b.sqlite", customers=40, seed=8)
    assert dump(again) == dump(pristine)
    assert shop.digest(again) == shop.digest(pristine)
    assert dump(other) != dump(pristine)
    assert shop.digest(other) != shop.digest(pristine)


def test_creating_a_shop_replaces_what_stands_there(database, order):
    """A shop that was written to is as new after `create_shop`."""
    shop.add_ticket(order["order_id"], "Call back")
    shop.create_shop(database, customers=40)
    assert shop.writes(database) == []


def test_every_tool_declares_its_effect():
    """No tool leaves its effect open, and the three that write say so."""
    assert {name for name, tool in TOOLS.items() if not declares_read(tool)} == {"refund", "send_email", "open_ticket"}
    assert all(TOOLS[name].metadata == {"effect": "write"} for name in ("refund", "send_email", "open_ticket"))


@pytest.mark.parametrize("name", TOOLS)
def test_a_tools_effect_is_what_it_declares(name, database, order):
    """A read leaves every row as it is; a write changes the digest and shows in `writes`."""
    shop.add_ticket(order["order_id"], "There is a ticket to be read.")
    before, digest, written = dump(database), shop.digest(database), len(shop.writes(database))
    result = TOOLS[name].invoke(arguments_of(TOOLS[name], order))
    assert result
    untouched = declares_read(TOOLS[name])
    assert (dump(database) == before) is untouched
    assert (shop.digest(database) == digest) is untouched
    assert len(shop.writes(database)) == written + (not untouched)


def test_reads_do_not_even_open_the_file_for_writing(database, order):
    """Reads answer while another connection holds the file's write lock, and a write then fails to get it."""
    blocker = sqlite3.connect(database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        assert shop.order(order["order_id"]) == order
        with shop._open(database) as db, pytest.raises(sqlite3.OperationalError, match="readonly"):
            db.execute("DELETE FROM orders")
    finally:
        blocker.close()


def test_an_order_adds_up(order, database):
    """The total is the lines' prices and the shipping, as SQL sums them."""
    db = sqlite3.connect(database)
    total = db.execute(
        "SELECT shipping + (SELECT sum(quantity * price) FROM order_lines l WHERE l.order_id = o.order_id) "
        "FROM orders o WHERE order_id = ?", (order["order_id"],),
    ).fetchone()[0]  # fmt: skip
    db.close()
    assert order["total"] == total


@pytest.mark.parametrize("amount", [0, -1, 10_000_000])
def test_a_refund_that_the_order_does_not_hold_is_refused(amount, database, order):
    """The tool answers with an error message instead of an exception, and nothing is written."""
    before = shop.digest(database)
    call = {
        "name": "refund", "id": "1", "type": "tool_call",
        "args": {"order_id": order["order_id"], "amount": amount, "reason": "late"},
    }  # fmt: skip
    answer = TOOLS["refund"].invoke(call)
    assert isinstance(answer, ToolMessage)
    assert answer.status == "error"
    assert order["order_id"] in answer.text
    assert shop.digest(database) == before


def test_two_agents_cannot_refund_the_same_money(database, order):
    """Of eight refunds of the whole order at once, one is booked."""

    def refund(_):
        try:
            return shop.add_refund(order["order_id"], order["total"], "cancelled")
        except shop.ShopError:
            return None

    with ThreadPoolExecutor(8) as pool:
        booked = [done for done in pool.map(refund, range(8)) if done]
    assert len(booked) == 1
    assert [row["amount"] for row in shop.writes(database)] == [order["total"]]


def test_a_ticket_can_be_read_back(database, order):
    """What `open_ticket` wrote is what `get_ticket` reads."""
    opened = TOOLS["open_ticket"].invoke({"order_id": order["order_id"], "summary": "Call back"})
    read = TOOLS["get_ticket"].invoke({"ticket_id": opened["ticket_id"]})
    assert read == {"ticket_id": opened["ticket_id"], "order_id": order["order_id"], "summary": "Call back",
                    "status": "open"}  # fmt: skip


@pytest.mark.parametrize("name", ["look_up_order", "open_ticket", "get_ticket"])
def test_what_does_not_exist_is_an_error_that_names_it(name, database):
    """An unknown order or ticket is named in the answer's error."""
    arguments = {"order_id": "K-00000", "ticket_id": "T-77", "summary": "x"}
    args = {key: arguments[key] for key in TOOLS[name].args}
    answer = TOOLS[name].invoke({"name": name, "id": "1", "type": "tool_call", "args": args})
    assert answer.status == "error"
    assert repr(next(iter(args.values()))) in answer.text


def test_the_policy_search_finds_each_policy_by_its_title_and_by_a_question(database):
    """Titles come first; so do the questions that customers ask."""
    search = TOOLS["search_policy"]
    assert [search.invoke({"question": title})[0]["title"] for title in POLICIES] == list(POLICIES)
    asked = {
        "How long do I have to send something back?": "Returns",
        "Is my gift card still valid?": "Gift cards",
        "My parcel is late, is there compensation?": "Late delivery",
        "Do you take PayPal?": "Payment",
    }
    assert {question: search.invoke({"question": question})[0]["title"] for question in asked} == asked
    assert KEYWORDS.keys() <= POLICIES.keys()


def test_tool_results_are_plain_values(database, order):
    """Each result survives JSON unchanged, so that it can be recorded and replayed."""
    shop.add_ticket(order["order_id"], "Call back")
    for tool in TOOLS.values():
        result = tool.invoke(arguments_of(tool, order))
        assert json.loads(json.dumps(result)) == result


def test_a_missing_shop_says_how_to_create_one(tmp_path, monkeypatch):
    """No database is created by accident; the message names the path and the mend."""
    monkeypatch.setenv("SHOP_DATABASE", str(tmp_path / "none.sqlite"))
    with pytest.raises(shop.ShopError, match="create_shop"):
        shop.order("K-10001")
    assert not (tmp_path / "none.sqlite").exists()


def test_without_a_setting_the_shop_stands_in_the_projects_own_folder(monkeypatch):
    """The default path is `.shadoweval/shop.sqlite`."""
    monkeypatch.delenv("SHOP_DATABASE", raising=False)
    assert shop.shop_path().as_posix() == ".shadoweval/shop.sqlite"
