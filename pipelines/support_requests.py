"""What can be read from a customer's message by rules: the wish, the order number, the amount, addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["asked_amount", "intents_of", "named_address", "named_lines", "order_number", "orders_naming"]

# First come the patterns that settle a message alone; the spellings are those that customers use.
_GENERAL = re.compile(
    r"\b(how (long|much|many)|what('s| is| are) (your|the)|do you (have|offer|accept|take|ship)|is there (an?|any)|"
    r"what happens|are there|which (countries|payment)|does (the|a|an)|can (gift|i pay)|where does)\b",
    re.IGNORECASE,
)
_INTENTS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "damaged": r"damm?a?ge|broke|\bcrack|shatter|smash|\bdent|scratch|in pieces|leak|\btorn\b|\bbent\b|chipped|"
        r"snapped",
        "cancel": r"\bcancel|call (it |this )?off|stop (the|my|this) order|do ?n[o']?t (want|need) .{0,30}any ?more",
        "return": r"\breturn|(send|give|bring|ship)( \w+){1,4} back|chang(e|ed) my mind|do(es)?n.?t (fit|like)|"
        r"wrong (size|colou?r)|not what i (expected|hoped)|regret",
        "late": r"\blate\b|delay|overdue|still (waiting|nothing|no sign)|has ?n.t (arrived|come|shown)|not arrived|"
        r"should have (been|come|arrived)|took (far |much |way )?too long|promised",
        "warranty": r"warrant|guarant|stopp?ed working|no longer (works|turns)|won.t (turn|switch|start)|gave up|"
        r"died|quit working|malfunction",
        "address": r"(new|change|wrong|different|old|correct|update)( \w+){0,3} ad+ress|\bmoved\b|moving (house|to)",
        "receipt": r"rec(ei|ie)pt|invoice|proof of (purchase|payment)|\bbill\b",
        "complaint": r"\b(manager|supervisor)\b|(real|actual|human) (person|being)|\bhuman\b|someone (in charge|real)|"
        r"speak (to|with)|call me",
        "status": r"where.{0,12}\b(is|are|s)\b|\bstatus\b|\btrack|when (will|does|do|can)|on (its|the) way|"
        r"(been )?(shipped|sent|dispatched) yet|any news|update on",
    }.items()
}
_ORDER = re.compile(r"\bk[\s\-\u2013#]?(\d{5})\b", re.IGNORECASE)
_AMOUNT = re.compile(
    r"(?:(?:eur|€)\s*(\d+)(?:[.,](\d{2}))?)|(?:(\d+)(?:[.,](\d{2}))?\s*(?:eur|euros?|€))", re.IGNORECASE
)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_LETTERS = re.compile(r"[a-z]+")


def intents_of(text: str) -> list[str]:
    """Return the wishes in the order in which the text comes to them; a general question is "question" alone."""
    if order_number(text) is None and _GENERAL.search(text):
        return ["question"]
    first = {name: found.start() for name, pattern in _INTENTS.items() if (found := pattern.search(text))}
    if len(first) > 1:
        first.pop("status", None)  # "Where is it" is asked along with any other wish.
    return sorted(first, key=lambda name: first[name])


def order_number(text: str) -> str | None:
    """Return the last order number that the text names, as the shop writes it."""
    found = _ORDER.findall(text)
    return f"K-{found[-1]}" if found else None


def asked_amount(text: str) -> int | None:
    """Return the first amount of euros that the text names, in cents."""
    found = _AMOUNT.search(text)
    if found is None:
        return None
    whole, part = found[1] or found[3], found[2] or found[4] or "00"
    return int(whole) * 100 + int(part)


def named_address(text: str) -> str | None:
    """Return the first e-mail address that the text names."""
    found = _ADDRESS.search(text)
    return found[0].rstrip(".") if found else None


def named_lines(lines: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Return the order lines that the text may mean: those whose last word it names, or the only line."""
    if len(lines) == 1:
        return list(lines)
    said = set(_LETTERS.findall(text.lower()))
    return [line for line in lines if line["product"].split()[-1] in said]


def orders_naming(orders: Sequence[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Return the orders that the text may mean: those with a product it names, or the only order."""
    if len(orders) == 1:
        return list(orders)
    said = set(_LETTERS.findall(text.lower()))
    return [o for o in orders if {p.split()[-1] for p in o["products"].split(", ")} & said]
