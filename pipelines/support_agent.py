"""The support agent in production: quick to help, and generous with money and e-mails.

It decides from its own short rules and never reads the policies: a damaged article earns the whole order's refund,
every wait the shipping fee, and every ticket an e-mail.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage

from pipelines.chat_model import chat_model
from pipelines.planner import Limits, Plan, Rule
from pipelines.shop_tools import shop_tools

__all__ = ["PLAN", "PROMPT", "agent", "answer", "ask"]

PROMPT = """\
You are the support agent of a mail-order shop. The first line of a message names the customer's account.
Look up the order before you answer. If the number is missing, list the customer's orders and take the likeliest.
Refund damaged and returned goods within 30 days of delivery: refund the whole order. Refund the shipping fee when
an order is late. Cancel by refunding the order while it is processing. For warranty cases, changes of address and
people who want to talk to a person, open a ticket. Confirm what you have done by e-mail. Deal with every wish of a
message. Answer in a few plain sentences."""

PLAN = Plan(
    name="generous",
    guesses_the_order=True,
    writes_to_named_addresses=True,
    rules={
        "damaged": Rule(reason="damaged", refunds="order", limits=Limits(days=30), email="refund"),
        "return": Rule(reason="return", refunds="order", limits=Limits(days=30), email="refund"),
        "late": Rule(reason="late", refunds="shipping", email="refund"),
        "cancel": Rule(reason="cancelled", refunds="order", only_processing=True, email="refund"),
        "warranty": Rule(ticket="warranty", email="ticket"),
        "address": Rule(ticket="address", email="ticket"),
        "complaint": Rule(ticket="complaint", email="ticket"),
        "receipt": Rule(email="receipt"),
        "status": Rule(),
    },
)


@cache
def agent() -> Any:
    """Return the compiled agent; it is built once in a process."""
    return create_agent(chat_model(plan=PLAN), shop_tools(), system_prompt=PROMPT, name="support-agent")


def answer(question: str, customer: str) -> dict[str, Any]:
    """Answer one message of a customer, and do what it takes.

    Args:
        question: The message as the customer wrote it.
        customer: The address of the customer's account, known from the login.

    Returns:
        {"answer": the text for the customer, "tool_calls": how many calls were made}
    """
    return ask(agent(), question, customer)


def ask(compiled: Any, question: str, customer: str) -> dict[str, Any]:
    """Put the message to an agent; both arms share this, so that they differ in their plans alone."""
    said = f"Customer: {customer}\n{question}"
    messages = compiled.invoke({"messages": [("user", said)]})["messages"]
    calls = sum(len(message.tool_calls) for message in messages if isinstance(message, AIMessage))
    return {"answer": messages[-1].text, "tool_calls": calls}
