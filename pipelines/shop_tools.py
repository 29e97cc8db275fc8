"""The shop as LangChain tools. Each declares its effect in `metadata`, which is what shadow runs go by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from langchain_core.tools import BaseTool, StructuredTool, ToolException

from pipelines import shop
from pipelines.offline_model import word_fits
from pipelines.shop_policies import KEYWORDS, POLICIES

__all__ = ["shop_tools"]

Reason = Literal["damaged", "return", "late", "cancelled"]


def look_up_order(order_id: str) -> dict[str, Any]:
    """Look up an order: customer, status, dates, lines, total and earlier refunds. Amounts are in cents.

    Args:
        order_id: The number of the order, such as "K-10012".
    """
    return _said(shop.order, order_id)


def list_orders(customer_email: str) -> list[dict[str, Any]]:
    """List a customer's orders, newest first.

    Args:
        customer_email: The address of the customer's account.
    """
    return _said(shop.orders_of, customer_email)


def search_policy(question: str) -> list[dict[str, str]]:
    """Search the shop's policies; returns the two that fit best.

    Args:
        question: A question or the title of a policy, such as "Returns".
    """
    texts = [f"{title}. {KEYWORDS.get(title, '')}. {text}" for title, text in POLICIES.items()]
    fits = dict(zip(POLICIES, word_fits(question, texts), strict=True))
    best = sorted(POLICIES, key=lambda title: (title.lower() != question.strip().lower(), -fits[title]))[:2]
    return [{"title": title, "text": POLICIES[title]} for title in best]


def get_ticket(ticket_id: str) -> dict[str, Any]:
    """Read a ticket.

    Args:
        ticket_id: The number of the ticket, such as "T-12".
    """
    return _said(shop.ticket, ticket_id)


def refund(order_id: str, amount: int, reason: Reason) -> dict[str, Any]:
    """Pay money back for an order.

    Args:
        order_id: The number of the order.
        amount: Cents.
        reason: Why.
    """
    return _said(shop.add_refund, order_id, amount, reason)


def send_email(to: str, subject: str, body: str) -> dict[str, Any]:
    """Send an e-mail.

    Args:
        to: The address.
        subject: One line.
        body: Plain text.
    """
    return _said(shop.add_email, to, subject, body)


def open_ticket(order_id: str, summary: str) -> dict[str, Any]:
    """Open a ticket for the people of the shop.

    Args:
        order_id: The order that the ticket is about.
        summary: One line.
    """
    return _said(shop.add_ticket, order_id, summary)


def shop_tools() -> list[BaseTool]:
    """Return the seven tools: four that read, three that write."""
    read, write = {"effect": "read"}, {"effect": "write"}
    declared: list[tuple[Callable[..., Any], dict[str, Any]]] = [
        (look_up_order, read),
        (list_orders, read),
        (search_policy, read),
        # The same said in the words of the Model Context Protocol, as tools from an MCP server say it.
        (get_ticket, {"annotations": {"readOnlyHint": True}}),
        (refund, write),
        (send_email, write),
        (open_ticket, write),
    ]
    return [
        StructuredTool.from_function(function, parse_docstring=True, metadata=metadata, handle_tool_error=True)
        for function, metadata in declared
    ]


def _said(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the shop; what it refuses becomes an error that the model reads, not one that ends the conversation."""
    try:
        return function(*arguments)
    except shop.ShopError as error:
        raise ToolException(str(error)) from error
