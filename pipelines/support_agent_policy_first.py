"""The candidate: reads the policy before it decides, refunds what the policy says, and writes few e-mails.

It reads each ticket back to be sure that it stands. Its weak side: it deals with one wish of a message only, and it
does not turn damage that is reported too late into a warranty case.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from langchain.agents import create_agent

from pipelines.chat_model import chat_model
from pipelines.planner import Plan, Rule
from pipelines.shop_tools import shop_tools
from pipelines.support_agent import ask

__all__ = ["PLAN", "PROMPT", "agent", "answer"]

PROMPT = """\
You are the support agent of a mail-order shop. The first line of a message names the customer's account.
Look up the order before you answer. If the number is missing, list the customer's orders; if you cannot be sure
which one is meant, ask. Read the policy (search_policy) before you refund anything or open a ticket about goods, and
keep to its windows, limits and exclusions: refund the article, not the order. After opening a ticket, read it back.
Send one e-mail after a refund, or a receipt when asked for one, only to the account's address, and no other
e-mails. Deal with one wish at a time. Answer in a few plain sentences."""

PLAN = Plan(
    name="policy-first",
    wishes_at_once=1,
    reads_tickets_back=True,
    rules={
        "damaged": Rule(reason="damaged", refunds="line", policy="Damaged goods", ticket="damaged", email="refund"),
        "return": Rule(reason="return", refunds="line", policy="Returns", email="refund"),
        "late": Rule(reason="late", refunds="shipping", policy="Late delivery", email="refund"),
        "cancel": Rule(
            reason="cancelled", refunds="order", policy="Cancellation", only_processing=True, email="refund"
        ),
        "warranty": Rule(policy="Warranty", ticket="warranty"),
        "address": Rule(ticket="address", only_processing=True),
        "complaint": Rule(ticket="complaint"),
        "receipt": Rule(email="receipt"),
        "status": Rule(),
    },
)


@cache
def agent() -> Any:
    """Return the compiled agent; it is built once in a process."""
    return create_agent(chat_model(plan=PLAN), shop_tools(), system_prompt=PROMPT, name="support-policy-first")


def answer(question: str, customer: str) -> dict[str, Any]:
    """Answer one message of a customer, and do what it takes; see `support_agent.answer`."""
    return ask(agent(), question, customer)
