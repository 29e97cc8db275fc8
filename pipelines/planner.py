"""A rule-based planner for the shop's tools: look up, read the policy, decide, write, tell.

It stands in for a language model where there is none and is no language model. A `Plan` is to it what a prompt is
to a model: two plans with the same tools make two agents that do different things.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from pipelines.offline_model import UNKNOWN, OfflineChat, best_sentences, tool_call
from pipelines.shop import euro
from pipelines.shop_policies import MESSAGES, TICKETS
from pipelines.support_requests import (
    asked_amount,
    intents_of,
    named_address,
    named_lines,
    order_number,
    orders_naming,
)

__all__ = ["Call", "Limits", "OfflinePlanner", "Plan", "Rule", "Turn"]

NOT_UNDERSTOOD = "I am not sure what you need. Please tell me the order number and what happened."
WHICH_ORDER = "Which order is it about? Please tell me its number."
WHICH_LINE = "Which item of order {order} is it about?"
NO_SUCH_ORDER = "I cannot find order {order} among your orders."

Call = tuple[str, dict[str, Any]]
"""A tool's name and its arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a wish has to keep to; None or empty means that there is no such limit."""

    days: int | None = None
    days_late: int | None = None
    approval: int | None = None
    once: bool = False
    excluded: str = ""

    @classmethod
    def read(cls, policy: str, *, plus: bool) -> Limits:
        """Take the limits from a policy's sentences; amounts are in cents."""
        days = [int(n) for n in re.findall(r"within (\d+) days", policy)]
        late = re.search(r"more than (\d+) days", policy)
        approval = re.search(r"above (\d+) EUR need approval", policy)
        excluded = re.search(r"(\w+) articles are excluded", policy)
        return cls(
            days=(days[-1] if plus else days[0]) if days else None,
            days_late=int(late[1]) if late else None,
            approval=int(approval[1]) * 100 if approval else None,
            once=bool(re.search(r"\bonce\b", policy)),
            excluded=excluded[1].lower() if excluded else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What one wish leads to."""

    reason: str = ""
    refunds: Literal["", "order", "line", "shipping"] = ""
    policy: str = ""
    """The title of the policy that is read before deciding; its limits replace the rule's own."""
    limits: Limits = field(default_factory=Limits)
    only_processing: bool = False
    ticket: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the agent does about each wish, as data."""

    name: str
    rules: Mapping[str, Rule]
    wishes_at_once: int | None = None
    reads_tickets_back: bool = False
    guesses_the_order: bool = False
    writes_to_named_addresses: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """What the customer said and which calls were made about it since."""

    customer: str
    text: str
    done: tuple[tuple[Call, Any], ...]

    @classmethod
    def of(cls, messages: Sequence[BaseMessage]) -> Turn:
        """Read the conversation; an order number or wish of an earlier message still counts in the last."""
        asked = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
        said = [re.sub(r"^Customer: \S+\n", "", messages[i].text) for i in asked]
        customers = [found[1] for i in asked if (found := re.match(r"Customer: (\S+)\n", messages[i].text))]
        text = said[-1] if said and intents_of(said[-1]) and order_number(said[-1]) else "\n".join(said)
        calls: dict[str | None, Call] = {}
        done: list[tuple[Call, Any]] = []
        for message in messages[asked[-1] + 1 :] if asked else ():
            if isinstance(message, AIMessage):
                calls |= {call["id"]: (call["name"], call["args"]) for call in message.tool_calls}
            elif isinstance(message, ToolMessage) and message.tool_call_id in calls:
                done.append((calls[message.tool_call_id], _result(message)))
        return cls(customers[-1] if customers else "", text, tuple(done))

    def results(self, name: str, **arguments: Any) -> list[Any]:
        """Return what the tool answered when it was called with these arguments, among others."""
        return [
            result for (called, given), result in self.done if called == name and arguments.items() <= given.items()
        ]


class OfflinePlanner(OfflineChat):
    """The planner as a chat model: one tool call a message, then the answer.

    Attributes:
        plan: What to do about each wish.
    """

    model_name: str = "offline-rule-planner"
    plan: Plan

    def _reply(self, messages: list[BaseMessage], tools: Sequence[str]) -> AIMessage:
        step = self._step(Turn.of(messages))
        if isinstance(step, str):
            return AIMessage(step)
        name, arguments = step
        if name not in tools:
            return AIMessage(f"I would need the tool {name!r} for that.")
        return tool_call(name, arguments, turn=len(messages))

    def _step(self, turn: Turn) -> Call | str:
        wishes = intents_of(turn.text)[: self.plan.wishes_at_once]
        if not wishes:
            return NOT_UNDERSTOOD
        if wishes == ["question"]:
            return _policy_answer(turn)
        order = self._order(turn)
        if not isinstance(order, dict):
            return order
        told: list[str] = []
        for wish in wishes:
            step = self._wish(self.plan.rules[wish], turn, order)
            if not isinstance(step, str):
                return step
            told.append(step)
        return " ".join(told)

    def _order(self, turn: Turn) -> Call | str | dict[str, Any]:
        """Return the order that is meant, or the call or question that leads to it."""
        number = order_number(turn.text)
        if number is None:
            listed = turn.results("list_orders")
            if not listed:
                return "list_orders", {"customer_email": turn.customer}
            orders = listed[0] if isinstance(listed[0], list) else []
            meant = orders_naming(orders, turn.text) or (orders if self.plan.guesses_the_order else [])
            if not meant or (len(meant) > 1 and not self.plan.guesses_the_order):
                return WHICH_ORDER
            number = str(meant[0]["order_id"])
        looked_up = turn.results("look_up_order", order_id=number)
        if not looked_up:
            return "look_up_order", {"order_id": number}
        order = looked_up[0]
        if not isinstance(order, dict) or order.get("customer") != turn.customer:
            return NO_SUCH_ORDER.format(order=number)
        return order

    def _wish(self, rule: Rule, turn: Turn, order: dict[str, Any]) -> Call | str:
        """Return the next call for one wish, or what to tell about it when all is done."""
        if rule.policy:
            read = turn.results("search_policy", question=rule.policy)
            if not read:
                return "search_policy", {"question": rule.policy}
            text = read[0][0]["text"] if isinstance(read[0], list) and read[0] else ""
            rule = replace(rule, limits=Limits.read(text, plus=order["plan"] == "plus"))
        calls, told = self._decide(rule, turn, order)
        for name, arguments in calls:
            results = turn.results(name, **arguments)
            if not results:
                return name, arguments
            if isinstance(results[0], ToolFailure):
                return f"That did not work: {results[0].message}"
            if name == "open_ticket" and self.plan.reads_tickets_back:
                number = results[0].get("ticket_id") if isinstance(results[0], dict) else None
                if number and not turn.results("get_ticket", ticket_id=number):
                    return "get_ticket", {"ticket_id": number}
        return told

    def _decide(self, rule: Rule, turn: Turn, order: dict[str, Any]) -> tuple[list[Call], str]:
        number, facts = order["order_id"], _facts(order)
        lines = named_lines(order["lines"], turn.text)
        by_line = rule.refunds == "line" or "{product}" in TICKETS.get(rule.ticket, "")
        if by_line and len(lines) != 1:
            return [], WHICH_LINE.format(order=number)
        refusal = _refusal(rule, order, lines)
        if refusal:
            return [], f"{refusal} {facts}"
        calls: list[Call] = []
        amount = 0
        if rule.refunds:
            owed = {"order": order["total"], "shipping": order["shipping"], "line": sum(x["price"] for x in lines)}
            amount = min(owed[rule.refunds], asked_amount(turn.text) or owed[rule.refunds])
            if rule.limits.approval is not None and amount > rule.limits.approval:
                summary = TICKETS["approval"].format(amount=euro(amount))
                told = f"A refund of {euro(amount)} for order {number} needs approval; I have opened a ticket."
                return [("open_ticket", {"order_id": number, "summary": summary})], told
            calls.append(("refund", {"order_id": number, "amount": amount, "reason": rule.reason}))
        if rule.ticket:
            summary = TICKETS[rule.ticket].format(product=lines[0]["product"] if by_line else "")
            calls.append(("open_ticket", {"order_id": number, "summary": summary}))
        if rule.email:
            named = named_address(turn.text) if self.plan.writes_to_named_addresses else None
            subject, body = (part.format(order=number, amount=euro(amount), total=euro(order["total"]))
                             for part in MESSAGES[rule.email])  # fmt: skip
            calls.append(("send_email", {"to": named or turn.customer, "subject": subject, "body": body}))
        return calls, _told(calls, number, facts)


@dataclass(frozen=True, slots=True)
class ToolFailure:
    """A tool that answered with an error."""

    message: str


def _result(message: ToolMessage) -> Any:
    if message.status == "error":
        return ToolFailure(message.text)
    try:
        return json.loads(message.text)
    except ValueError:
        return message.text  # Any tool may answer in plain words.


def _policy_answer(turn: Turn) -> Call | str:
    found = turn.results("search_policy")
    if not found:
        return "search_policy", {"question": turn.text}
    documents = found[0] if isinstance(found[0], list) else []
    answers = [best_sentences(turn.text, document["text"], least_fit=0.1) for document in documents]
    return next((answer for answer in answers if answer != UNKNOWN), UNKNOWN)


def _refusal(rule: Rule, order: dict[str, Any], lines: Sequence[dict[str, Any]]) -> str:
    limits, age = rule.limits, order["days_since_delivery"]
    sold = {line["category"] for line in lines}
    refunded = {refund["reason"] for refund in order["refunds"]}
    wait = "I am sorry for the wait;"
    checks = (
        (rule.only_processing and order["status"] != "processing", "The order has left the warehouse already."),
        (limits.days is not None and age is None, "The order has not been delivered yet."),
        ((age or 0) > (limits.days or math.inf), f"The time for this was {limits.days} days after delivery."),
        (limits.excluded in sold, f"Articles for {limits.excluded} are excluded."),
        (
            limits.days_late is not None and order["days_late"] <= limits.days_late,
            f"{wait} the delay is too short for a refund.",
        ),
        (limits.once and rule.reason in refunded, "This has been refunded before."),
        (
            rule.refunds == "shipping" and order["shipping"] == 0,
            f"{wait} shipping was free, so there is no fee to refund.",
        ),
    )
    return next((reason for broken, reason in checks if broken), "")


def _facts(order: dict[str, Any]) -> str:
    where = f"was delivered on {order['delivered_on']}" if order["delivered_on"] else f"is {order['status']}"
    return f"Order {order['order_id']} {where}; it was promised for {order['promised_on']}."


def _told(calls: Sequence[Call], number: str, facts: str) -> str:
    sentences = {
        "refund": "I have refunded {amount} for order {order}.",
        "open_ticket": "I have opened a ticket for order {order}: {summary}.",
        "send_email": "I have sent an e-mail to {to}: {subject}.",
    }
    told = [
        sentences[name].format(**{"order": number, **given, "amount": euro(given.get("amount", 0))})
        for name, given in calls
    ]
    return " ".join(told) or facts
