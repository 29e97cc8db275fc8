"""A small mail-order shop in one SQLite file: what the support agents read and write.

All money is in whole cents. The shop's calendar stands still on `TODAY`, so that a case keeps its right answer.
Reads open the file read-only; only `add_refund`, `add_ticket` and `add_email` write.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import random
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "TODAY", "ShopError", "add_email", "add_refund", "add_ticket", "create_shop", "digest", "euro", "order",
    "orders_of", "shop_path", "ticket", "writes",
]  # fmt: skip

TODAY = dt.date(2026, 11, 2)

_SCHEMA = """
CREATE TABLE customers (email TEXT PRIMARY KEY, name TEXT NOT NULL, plan TEXT NOT NULL, region TEXT NOT NULL);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY, customer TEXT NOT NULL REFERENCES customers, status TEXT NOT NULL,
    placed_on TEXT NOT NULL, promised_on TEXT NOT NULL, delivered_on TEXT, shipping INTEGER NOT NULL);
CREATE TABLE order_lines (
    order_id TEXT NOT NULL REFERENCES orders, line INTEGER NOT NULL, product TEXT NOT NULL,
    category TEXT NOT NULL, quantity INTEGER NOT NULL, price INTEGER NOT NULL, PRIMARY KEY (order_id, line));
CREATE TABLE refunds (
    refund_id INTEGER PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders, amount INTEGER NOT NULL,
    reason TEXT NOT NULL, source TEXT NOT NULL DEFAULT 'agent');
CREATE TABLE tickets (
    ticket_id INTEGER PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders, summary TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT 'open', source TEXT NOT NULL DEFAULT 'agent');
CREATE TABLE emails (
    email_id INTEGER PRIMARY KEY, recipient TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
    source TEXT NOT NULL DEFAULT 'agent');
"""
_TABLES = ("customers", "orders", "order_lines", "refunds", "tickets", "emails")
_WRITTEN = ("refunds", "tickets", "emails")

_PRODUCTS: tuple[tuple[str, str, int], ...] = (
    ("stoneware mug", "kitchen", 1290), ("cast iron skillet", "kitchen", 5490),
    ("electric kettle", "kitchen", 4490), ("chef knife", "kitchen", 6990), ("espresso machine", "kitchen", 18900),
    ("wooden tray", "kitchen", 2450), ("wireless headphones", "audio", 8990), ("bluetooth speaker", "audio", 5990),
    ("turntable", "audio", 22900), ("microphone", "audio", 7400), ("desk lamp", "office", 3990),
    ("office chair", "office", 17900), ("mechanical keyboard", "office", 9900), ("notebook set", "office", 1450),
    ("fountain pen", "office", 3200), ("garden hose", "garden", 2990), ("pruning shears", "garden", 2290),
    ("solar lantern", "garden", 1990), ("camping tent", "outdoor", 14900), ("sleeping bag", "outdoor", 7900),
    ("hiking backpack", "outdoor", 11900), ("thermos bottle", "outdoor", 2690),
    ("electric toothbrush", "hygiene", 4990), ("hair clipper", "hygiene", 3490), ("safety razor", "hygiene", 2790),
)  # fmt: skip
_FIRST_NAMES = (
    "ada", "ben", "clara", "david", "elif", "fatima", "georg", "hanna", "ivan", "jana", "karim", "lena", "marco",
    "nadia", "oskar", "paula", "rosa", "stefan", "tomas", "vera",
)  # fmt: skip
_LAST_NAMES = (
    "adler", "bauer", "conti", "dupont", "eriksen", "fischer", "garcia", "horvat", "ilic", "jansen", "keller",
    "lund", "meyer", "novak", "olsen",
)  # fmt: skip
_REGIONS = ("DE", "AT", "NL", "FR", "IT", "ES")
_AGES = (2, 4, 6, 9, 11, 13, 18, 25, 28, 37, 45, 58, 90, 200, 400, 600, 800)


class ShopError(Exception):
    """The shop cannot do what was asked; the message is fit for whoever asked."""


def shop_path() -> Path:
    """Return the database that the tools use: `SHOP_DATABASE`, or `.shadoweval/shop.sqlite`."""
    return Path(os.environ.get("SHOP_DATABASE") or ".shadoweval/shop.sqlite")


def create_shop(path: Path | str, *, customers: int = 320, seed: int = 7) -> Path:
    """Create the shop anew, replacing a file that stands there; the same arguments give the same content."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    rng = random.Random(seed)
    with _open(path, mode="rwc") as db:
        db.executescript(_SCHEMA)
        number = 10_000
        for index in range(customers):
            first, last = rng.choice(_FIRST_NAMES), rng.choice(_LAST_NAMES)
            email, region = f"{first}.{last}{index}@mail.example", rng.choice(_REGIONS)
            plan = "plus" if rng.random() < 0.3 else "free"
            db.execute("INSERT INTO customers VALUES (?,?,?,?)", (email, f"{first} {last}".title(), plan, region))
            for _ in range(rng.choice((1, 2, 3, 4, 5))):
                number += rng.randint(1, 9)
                _add_order(db, rng, order_id=f"K-{number}", customer=(email, region))
    return path


def _add_order(db: sqlite3.Connection, rng: random.Random, *, order_id: str, customer: tuple[str, str]) -> None:
    email, region = customer
    status = rng.choices(("delivered", "shipped", "processing"), (14, 3, 3))[0]
    delay = rng.choice((-2, -1, 0, 0, 0, 1, 3, 4, 7, 9, 14))
    delivered = TODAY - dt.timedelta(days=rng.choice(_AGES)) if status == "delivered" else None
    promised = (delivered or TODAY) - dt.timedelta(days=delay if status != "processing" else -rng.randint(1, 4))
    placed = min(promised, TODAY) - dt.timedelta(days=rng.randint(2, 5))
    lines = [
        (order_id, line, product, category, rng.choice((1, 1, 1, 2)), price)
        for line, (product, category, price) in enumerate(rng.sample(_PRODUCTS, rng.choice((1, 1, 2, 3))), 1)
    ]
    total = sum(quantity * price for *_, quantity, price in lines)
    shipping = 0 if total >= 8000 else 490 if region in {"DE", "AT", "NL"} else 790
    dates = placed.isoformat(), promised.isoformat(), delivered.isoformat() if delivered else None
    db.execute("INSERT INTO orders VALUES (?,?,?,?,?,?,?)", (order_id, email, status, *dates, shipping))
    db.executemany("INSERT INTO order_lines VALUES (?,?,?,?,?,?)", lines)
    if delivered and rng.random() < 0.06:  # A few were refunded before: a second refund would be a mistake.
        row = order_id, lines[0][4] * lines[0][5], "damaged", "shop"
        db.execute("INSERT INTO refunds (order_id, amount, reason, source) VALUES (?,?,?,?)", row)


def order(order_id: str) -> dict[str, Any]:
    """Return an order with its customer's plan, its lines and refunds; amounts in cents, ages in days."""
    with _open(shop_path()) as db:
        return _order(db, order_id)


def _order(db: sqlite3.Connection, order_id: str) -> dict[str, Any]:
    found = db.execute("SELECT * FROM orders JOIN customers ON email = customer WHERE order_id = ?", (order_id,))
    row = found.fetchone()
    if row is None:
        raise ShopError(f"There is no order {order_id!r}.")
    lines = [dict(r) for r in db.execute(
        "SELECT line, product, category, quantity, quantity * price AS price FROM order_lines "
        "WHERE order_id = ? ORDER BY line", (order_id,))]  # fmt: skip
    refunds = [dict(r) for r in db.execute(
        "SELECT amount, reason FROM refunds WHERE order_id = ? ORDER BY refund_id", (order_id,))]  # fmt: skip
    delivered = row["delivered_on"] and dt.date.fromisoformat(row["delivered_on"])
    return {
        **{k: row[k] for k in ("order_id", "customer", "plan", "status", "placed_on", "promised_on", "delivered_on")},
        "days_since_delivery": (TODAY - delivered).days if delivered else None,
        "days_late": max(0, ((delivered or TODAY) - dt.date.fromisoformat(row["promised_on"])).days),
        "lines": lines,
        "shipping": row["shipping"],
        "total": row["shipping"] + sum(line["price"] for line in lines),
        "refunds": refunds,
    }


def orders_of(customer: str) -> list[dict[str, Any]]:
    """Return the customer's orders, newest first: number, status and products."""
    with _open(shop_path()) as db:
        rows = db.execute(
            "SELECT order_id, status, placed_on, group_concat(product, ', ') AS products FROM orders "
            "JOIN order_lines USING (order_id) WHERE customer = ? GROUP BY order_id ORDER BY placed_on DESC, order_id",
            (customer,),
        )
        return [dict(row) for row in rows]


def ticket(ticket_id: str) -> dict[str, Any]:
    """Return a ticket by its number, such as "T-12"."""
    with _open(shop_path()) as db:
        row = db.execute("SELECT * FROM tickets WHERE ticket_id = ?", (ticket_id.removeprefix("T-"),)).fetchone()
    if row is None:
        raise ShopError(f"There is no ticket {ticket_id!r}.")
    return {"ticket_id": ticket_id, "order_id": row["order_id"], "summary": row["summary"], "status": row["status"]}


def add_refund(order_id: str, amount: int, reason: str) -> dict[str, Any]:
    """Refund cents; raises ShopError for an amount that is not positive or more than what is left of the order."""
    with _writing() as db:  # The check and the booking are one transaction: two agents cannot both refund the rest.
        known = _order(db, order_id)
        left = known["total"] - sum(refund["amount"] for refund in known["refunds"])
        if not 0 < amount <= left:
            raise ShopError(f"Cannot refund {euro(amount)} for {order_id}: {euro(left)} of it can be refunded.")
        row = order_id, amount, reason
        done = db.execute("INSERT INTO refunds (order_id, amount, reason) VALUES (?,?,?)", row)
    return {"refund_id": f"R-{done.lastrowid}", "amount": amount}


def add_ticket(order_id: str, summary: str) -> dict[str, Any]:
    """Open a ticket about an order; raises ShopError when there is no such order."""
    with _writing() as db:
        _order(db, order_id)
        done = db.execute("INSERT INTO tickets (order_id, summary) VALUES (?,?)", (order_id, summary))
    return {"ticket_id": f"T-{done.lastrowid}", "status": "open"}


def add_email(recipient: str, subject: str, body: str) -> dict[str, Any]:
    """Put an e-mail into the outbox."""
    with _writing() as db:
        row = recipient, subject, body
        done = db.execute("INSERT INTO emails (recipient, subject, body) VALUES (?,?,?)", row)
    return {"email_id": f"E-{done.lastrowid}"}


def euro(cents: int) -> str:
    """Return an amount as people write it: 1290 gives "12.90 EUR"."""
    return f"{cents // 100}.{cents % 100:02d} EUR"


def digest(path: Path | str) -> str:
    """Return a hash of every row of every table: two shops with equal digests hold the same content."""
    content = hashlib.sha256()
    with _open(Path(path)) as db:
        for table in _TABLES:
            rows = [tuple(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid")]  # noqa: S608 - a constant
            content.update(json.dumps([table, rows]).encode())
    return content.hexdigest()


def writes(path: Path | str) -> list[dict[str, Any]]:
    """Return what agents have written since the shop was created, each row with its table's name."""
    with _open(Path(path)) as db:
        return [
            {"table": table, **dict(row)}
            for table in _WRITTEN
            for row in db.execute(f"SELECT * FROM {table} WHERE source = 'agent' ORDER BY rowid")  # noqa: S608 - a constant
        ]


@contextmanager
def _writing() -> Generator[sqlite3.Connection]:
    with _open(shop_path(), mode="rw") as db:
        db.execute("BEGIN IMMEDIATE")
        yield db


@contextmanager
def _open(path: Path, *, mode: str = "ro") -> Generator[sqlite3.Connection]:
    if mode != "rwc" and not path.is_file():
        raise ShopError(f"There is no shop at {str(path)!r}. Create one: pipelines.shop.create_shop({str(path)!r})")
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=10)
    db.row_factory = sqlite3.Row
    try:
        with db:
            yield db
    finally:
        db.close()
