"""A tiny shop: an agent that answers complaints and pays money back. No model; the candidate is too generous.

The incumbent refunds by the shop's rules. The candidate refunds the whole order to whoever asks, which is what a more
"helpful" prompt does. It never touches the real till: its `refund` calls are answered by a throw-away one.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from shadoweval import Experiment, InstanceWorld, Sandbox, Stubs, no_worse, tool
from shadoweval.scoring import errors, latency, tool_success

__all__ = ["Till", "answer", "generous", "serve", "shop"]

HERE = Path(__file__).parent
TILL = HERE / "refunds.csv"
ORDERS = {f"K-{1000 + n}": {"cents": 900 + 137 * n, "days": 7 * n % 61, "shipping": 490} for n in range(40)}
WISHES = (
    "Order {} arrived broken. I want my money back.",
    "I do not like what I got with {}. Refund me, please.",
    "My order {} came a week late!",
    "When will {} be here?",
    "Can I still return {}?",
)


class Till:
    """What pays in a shadow: a till of its own for each query, thrown away after it."""

    def refund(self, order: str, cents: int) -> str:
        """Pay, in this world alone."""
        return f"{cents} cents paid for {order}"


shop = Experiment(
    name="shop",
    candidates={"generous": "shop:generous"},
    incumbent="shop:answer",
    scorers=[tool_success(), errors(), latency()],
    gates=[no_worse("writes", by=0.05, critical=True), no_worse("errors", by=0.05)],
    sandbox=Sandbox(stubs=Stubs(worlds=[InstanceWorld(Till, tools=["refund"])], live=["look_up"])),
)


@tool(effect="read")
def look_up(order: str) -> dict[str, int]:
    """An order's price, days since delivery and shipping fee."""
    return ORDERS[order]


@tool(effect="write")
def refund(order: str, cents: int) -> str:
    """Pay money back: a line in the till's file."""
    with TILL.open("a", encoding="utf-8") as file:
        file.write(f"{order},{cents}\n")
    return f"{cents} cents paid for {order}"


@shop.mirror(control=0.0)
def answer(message: str) -> str:
    """What production serves: refunds by the rules."""
    order = number_in(message)
    known = look_up(order)
    if "broken" in message:
        return refund(order, known["cents"])
    if "late" in message:
        return refund(order, known["shipping"])
    if "Refund" in message and known["days"] <= 30:
        return refund(order, known["cents"])
    return f"{order} was delivered {known['days']} days ago. Returns are free for 30 days."


def generous(message: str) -> str:
    """The candidate: whoever complains has the whole order back."""
    order = number_in(message)
    known = look_up(order)
    if re.search("broken|late|Refund|return", message):
        return refund(order, known["cents"])
    return f"{order} was delivered {known['days']} days ago. Returns are free for 30 days."


def number_in(message: str) -> str:
    """The order's number."""
    found = re.search(r"K-\d+", message)
    return found[0] if found else ""


def serve() -> str:
    """All wishes for all orders, as customers would write them; says what was done."""
    TILL.unlink(missing_ok=True)
    for order, wish in itertools.product(ORDERS, WISHES):
        answer(wish.format(order))
    paid = len(TILL.read_text(encoding="utf-8").splitlines())
    return f"{len(ORDERS) * len(WISHES)} messages answered by the incumbent, which paid {paid} refunds"
