"""Makes `support.jsonl`: support requests over the shop's seeded orders, each with the calls that the handbook wants.

The right calls come from the database and from the handbook's rules as they are restated here (a test holds the
numbers against `pipelines.shop_policies`); nothing is taken from the agents or from what they read out of a text.
`expected_calls` are the reads that lead to the order and every write, with all arguments; reading more is free. `goal`
is what these writes leave in the shop.

    python -m evals.support_cases    writes evals/support.jsonl anew
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from evals.support_goals import goal_of
from evals.support_phrasings import PHRASINGS, QUESTIONS
from pipelines.shop import TODAY, create_shop, euro
from pipelines.shop_policies import MESSAGES, TICKETS

__all__ = ["CASES", "Order", "cases", "read_orders", "right_writes"]

CASES = Path(__file__).with_name("support.jsonl")

RETURN_DAYS = {"free": 30, "plus": 60}
DAMAGE_DAYS = 14
WARRANTY_DAYS = 730
LATE_DAYS = 5
APPROVAL = 150_00
USES = 3
"""How often a wording is used, each time about another order."""

Call = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was bought; the price is the whole line's, in cents."""

    product: str
    category: str
    price: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as the handbook looks at it; amounts in cents, `age` in days since delivery."""

    order_id: str
    customer: str
    plan: str
    region: str
    status: str
    age: int | None
    days_late: int
    shipping: int
    lines: tuple[Line, ...]
    refunded: frozenset[str]


def read_orders(path: Path) -> list[Order]:
    """Read all orders of a shop."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        rows = db.execute("SELECT * FROM orders JOIN customers ON customer = email ORDER BY order_id").fetchall()
        lines = db.execute("SELECT * FROM order_lines ORDER BY order_id, line").fetchall()
        refunds = db.execute("SELECT order_id, reason FROM refunds").fetchall()
    orders: list[Order] = []
    for row in rows:
        delivered = date.fromisoformat(row["delivered_on"]) if row["delivered_on"] else None
        bought = tuple(
            Line(product=r["product"], category=r["category"], price=r["quantity"] * r["price"])
            for r in lines
            if r["order_id"] == row["order_id"]
        )
        order = Order(
            **{key: row[key] for key in ("order_id", "customer", "plan", "region", "status", "shipping")},
            age=(TODAY - delivered).days if delivered else None,
            days_late=((delivered or TODAY) - date.fromisoformat(row["promised_on"])).days,
            lines=bought,
            refunded=frozenset(r["reason"] for r in refunds if r["order_id"] == row["order_id"]),
        )
        orders.append(order)
    return orders


def right_writes(  # noqa: PLR0911 - the handbook's rules, one after the other
    wish: str, order: Order, line: Line | None, *, asked: int | None = None
) -> tuple[list[Call], str]:
    """Return the writes that the handbook wants for one wish of the order's own customer, and the gist of the answer.

    Args:
        wish: damaged, return, late, warranty, cancel, address, receipt, complaint or status.
        order: The order that is meant.
        line: The line that is meant; None where the message leaves it open.
        asked: Cents the customer asks for, where an amount is named.
    """
    total = order.shipping + sum(each.price for each in order.lines)
    if wish == "status":
        return [], f"says that {order.order_id} is {order.status}"
    if wish == "receipt":
        return [_email(order, "receipt", total=euro(total))], f"sends the receipt for {order.order_id}"
    if wish == "complaint":
        return [_ticket(order, "complaint")], "opens a ticket; a person calls back"
    if wish == "address":
        if order.status != "processing":
            return [], "the parcel has left, so the address cannot be changed"
        return [_ticket(order, "address")], "opens a ticket for the change of address"
    if wish == "cancel":
        if order.status != "processing":
            return [], "the order has left, so it cannot be cancelled"
        return _refund(order, total, reason="cancelled")
    if wish == "late":
        if order.days_late <= LATE_DAYS or not order.shipping or "late" in order.refunded:
            return [], "apologises; no fee is refunded"
        return _refund(order, order.shipping, reason="late")
    return _about_goods(wish, order, line, asked=asked)


def _about_goods(  # noqa: PLR0911 - the handbook's rules, one after the other
    wish: str, order: Order, line: Line | None, *, asked: int | None
) -> tuple[list[Call], str]:
    if line is None:
        return [], "asks which item is meant"
    if order.age is None:
        return [], "the order has not been delivered yet"
    if wish == "warranty" or (wish == "damaged" and order.age > DAMAGE_DAYS):
        if order.age > WARRANTY_DAYS:
            return [], "the warranty is over"
        return [_ticket(order, "warranty", product=line.product)], f"opens a warranty ticket for the {line.product}"
    if wish in order.refunded:
        return [], "it has been refunded before"
    amount = min(line.price, asked or line.price)
    if wish == "damaged":
        calls, gist = _refund(order, amount, reason="damaged")
        # With a ticket for approval the warehouse hears of it anyway.
        return (calls if amount > APPROVAL else [*calls, _ticket(order, "damaged", product=line.product)]), gist
    if line.category == "hygiene":
        return [], "hygiene articles cannot be returned"
    if order.age > RETURN_DAYS[order.plan]:
        return [], f"the {RETURN_DAYS[order.plan]} days for returns are over"
    return _refund(order, amount, reason="return")


def _refund(order: Order, amount: int, *, reason: str) -> tuple[list[Call], str]:
    if amount > APPROVAL:
        return [_ticket(order, "approval", amount=euro(amount))], f"asks for approval of a refund of {euro(amount)}"
    booked = _call("refund", "write", order_id=order.order_id, amount=amount, reason=reason)
    return [booked, _email(order, "refund", amount=euro(amount))], f"refunds {euro(amount)} for {order.order_id}"


def _ticket(order: Order, kind: str, **filled: str) -> Call:
    return _call("open_ticket", "write", order_id=order.order_id, summary=TICKETS[kind].format(**filled))


def _email(order: Order, kind: str, **filled: str) -> Call:
    subject, body = (part.format(order=order.order_id, **filled) for part in MESSAGES[kind])
    return _call("send_email", "write", to=order.customer, subject=subject, body=body)


def _call(name: str, effect: str, **arguments: Any) -> Call:
    return {"name": name, "arguments": arguments, "effect": effect}


def _fresh(order: Order) -> bool:
    return order.age is not None and order.age <= DAMAGE_DAYS


def _recent(order: Order) -> bool:
    return order.age is None or order.age <= DAMAGE_DAYS


_WITHOUT_WRITES = frozenset({"status", "unclear", "unknown_order", "foreign_order"})
_FITTING: dict[str, tuple[Callable[[Order], bool], ...]] = {
    # Which orders a wording fits; several kinds take turns, so that granted and refused wishes mix.
    "damaged": (_fresh, _fresh, lambda o: o.age is not None and DAMAGE_DAYS < o.age <= 60),
    "damaged, no number": (lambda o: o.age is not None and o.age <= 6,),
    "damaged, amount named": (_fresh,),
    "return": (
        lambda o: o.age is not None and o.age <= 30 and not o.refunded,
        lambda o: o.age is not None and 30 < o.age <= 60 and not o.refunded,
    ),
    "late": (lambda o: o.days_late > LATE_DAYS and o.shipping > 0 and (o.age or 0) <= 30, _recent),
    "warranty": (
        lambda o: o.age is not None and 60 < o.age <= WARRANTY_DAYS,
        lambda o: o.age is not None and o.age > 60,
    ),
    "cancel": (lambda o: o.status == "processing", lambda o: o.status != "delivered"),
    "status": (_recent,),
    "receipt": (lambda o: o.age is not None and o.age <= 200,),
    "complaint": (_recent,),
}
_FITTING["address"] = _FITTING["cancel"]


def cases(path: Path) -> list[dict[str, Any]]:
    """Return the cases about the shop at `path`."""
    rng, orders, used = random.Random(11), read_orders(path), set[str]()  # noqa: S311 - reproducible, not secret
    made: list[dict[str, Any]] = []
    for kind, wordings in PHRASINGS.items():
        for wording in wordings:
            for turn in range(USES if "{" in wording else 1):
                order = _pick(kind, turn, orders=[o for o in orders if o.order_id not in used], rng=rng)
                if _intent(kind) not in _WITHOUT_WRITES:  # No case may depend on what another has written.
                    used.add(order.order_id)
                made.append(_case(kind, wording, order, rng=rng, orders=orders))
    for title, questions in QUESTIONS.items():
        made += [_question(title, text, rng.choice(orders)) for text in questions]
    made = list({case["query"].casefold(): case for case in made}.values())
    rng.shuffle(made)
    goals = [goal_of(case["expected_calls"]) for case in made]
    return [{"id": f"support-{number:04d}", **made[number - 1], "goal": goal} for number, goal in enumerate(goals, 1)]


def _pick(kind: str, turn: int, *, orders: Sequence[Order], rng: random.Random) -> Order:
    fits = _FITTING.get(kind) or _FITTING.get(re.split(r"\W", kind, maxsplit=1)[0]) or (_recent,)
    return rng.choice([order for order in orders if fits[turn % len(fits)](order)])


def _case(kind: str, wording: str, order: Order, *, rng: random.Random, orders: Sequence[Order]) -> dict[str, Any]:
    line, asked, digits = rng.choice(order.lines), rng.choice((300, 500, 750, 1000)), rng.randint(100, 999)
    asker = order if kind != "foreign_order" else rng.choice([o for o in orders if o.customer != order.customer])
    text = wording.format(
        order=order.order_id, order_digits=order.order_id[2:], product=line.product, digits=digits,
        amount=rng.choice((euro(asked), f"{asked / 100:g} euros" if asked % 100 == 0 else f"€{asked / 100:.2f}")),
        other=f"{rng.choice(('office', 'books', 'me', 'tax'))}{rng.randint(10, 99)}@elsewhere.example",
    )  # fmt: skip
    if kind == "unclear":
        calls, gist = [], "asks what it is about"
    elif kind in {"unknown_order", "foreign_order"}:
        number = order.order_id if kind == "foreign_order" else f"K-99{digits}"
        calls, gist = [_call("look_up_order", "read", order_id=number)], "finds no such order of this customer"
    else:
        calls, gist = _about_order(kind, wording, order, mentioned=(line, asked), orders=orders)
    return {
        "query": text,
        "inputs": {"question": text, "customer": asker.customer},
        "attributes": {"plan": asker.plan, "intent": _intent(kind), "region": asker.region},
        "reference": gist,
        "expected_calls": calls,
    }


def _about_order(
    kind: str, wording: str, order: Order, *, mentioned: tuple[Line, int], orders: Sequence[Order]
) -> tuple[list[Call], str]:
    line = mentioned[0] if "{product}" in wording else None
    asked = mentioned[1] if "{amount}" in wording else None
    calls: list[Call] = []
    if "{order" not in wording:
        calls.append(_call("list_orders", "read", customer_email=order.customer))
        if not _means(order, line, orders):
            return calls, "asks for the order number"
    calls.append(_call("look_up_order", "read", order_id=order.order_id))
    meant = order.lines[0] if len(order.lines) == 1 else line
    gists: list[str] = []
    for wish in re.split(r" and ", re.split(r",| to ", kind, maxsplit=1)[0]):
        writes, gist = right_writes(wish, order, meant, asked=asked)
        calls += writes
        gists.append(gist)
    return calls, "; ".join(gists)


def _means(order: Order, line: Line | None, orders: Sequence[Order]) -> bool:
    """Whether a message without a number still means this order: the only one, or the only one with the product."""
    own = [o for o in orders if o.customer == order.customer]
    holding = [o for o in own if line and line.product in {each.product for each in o.lines}]
    return len(own) == 1 or len(holding) == 1


def _intent(kind: str) -> str:
    single = kind.split(",", maxsplit=1)[0]
    return "multi" if " and " in single else single.removesuffix(" to another address")


def _question(title: str, text: str, asker: Order) -> dict[str, Any]:
    return {
        "query": text,
        "inputs": {"question": text, "customer": asker.customer},
        "attributes": {"plan": asker.plan, "intent": "question", "region": asker.region},
        "reference": f"answers from the policy {title!r}",
        "expected_calls": [_call("search_policy", "read", question=text)],
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = cases(create_shop(Path(folder) / "shop.sqlite"))
    CASES.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in made), encoding="utf-8")
