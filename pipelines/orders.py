"""The incumbent of the third example: OpenAI's function calling loop, without any framework.

It asks whatever `OPENAI_BASE_URL` names, by default OpenAI itself, for a model called `OPENAI_MODEL`. `watch` records
the model calls with their tokens, `@tool` the functions that the model asks for.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

from openai import OpenAI

from shadoweval import tool
from shadoweval.adapters.openai import watch

__all__ = ["DEFAULT_MODEL", "TOOLS", "answer", "conversation"]

DEFAULT_MODEL: Final = "gpt-4.1-mini"
PROMPT: Final = "You answer questions about orders of a shop. Look the order up before you say anything about it."
_MOST_ROUNDS: Final = 6
_NUMBER: Final = re.compile(r"K-\d{4}")
_ORDERS: Final[Mapping[str, str]] = {
    "K-1001": "shipped on Monday, it arrives on Thursday",
    "K-1002": "waits for payment",
    "K-1003": "delivered on Tuesday",
    "K-1004": "cancelled and refunded",
    "K-1005": "being packed",
    "K-1006": "returned, the refund is on its way",
}


@tool(effect="read")
def look_up_order(order: str) -> str:
    """State of an order; `order` is its number, or a text in which it stands."""
    number = _NUMBER.search(order)
    if number is None or number[0] not in _ORDERS:
        raise LookupError(f"there is no order {order!r}")
    return f"{number[0]}: {_ORDERS[number[0]]}"


@tool(effect="write")
def cancel_order(order: str) -> str:
    """Cancel an order for good."""
    return f"{order} is cancelled"


def _described(function: Callable[..., Any], text: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
    body = {"name": function.__name__, "description": text, "parameters": parameters}
    return {"type": "function", "function": body}


TOOLS: Final = [
    _described(look_up_order, "The state of an order, by its number."),
    _described(cancel_order, "Cancels an order for good. Only where the customer asks for it."),
]
_FUNCTIONS: Final[Mapping[str, Callable[..., str]]] = {
    "look_up_order": look_up_order,
    "cancel_order": cancel_order,
}


@cache
def _client() -> OpenAI:
    return watch(OpenAI(api_key=os.environ.get("OPENAI_API_KEY") or "none", max_retries=1))


def conversation(question: str, *, prompt: str = PROMPT, tools: list[dict[str, Any]] = TOOLS) -> str:
    """Ask the model, call what it asks for, and tell it the results, until it answers.

    Raises:
        RuntimeError: it goes on asking for tools.
    """
    messages: list[Any] = [{"role": "system", "content": prompt}, {"role": "user", "content": question}]
    model: Any = {"model": os.environ.get("OPENAI_MODEL") or DEFAULT_MODEL, "tools": tools}
    for _ in range(_MOST_ROUNDS):
        message = _client().chat.completions.create(messages=messages, **model).choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": call.id, "content": _called(call)} for call in message.tool_calls]
    raise RuntimeError(f"The model asked for tools {_MOST_ROUNDS} times and did not answer.")


def _called(call: Any) -> str:
    """What a tool says; an error is told to the model, which may ask again."""
    try:
        return _FUNCTIONS[call.function.name](**json.loads(call.function.arguments))
    except (LookupError, TypeError, ValueError) as error:
        return f"Error: {type(error).__name__}: {error}"


def answer(question: str) -> str:
    """Answer one question of a customer."""
    return conversation(question)
