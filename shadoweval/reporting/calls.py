"""What a run did as texts: its tool calls and its answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from shadoweval.records import Observation, ToolCall

__all__ = ["answer_text", "as_json", "call_text", "result_text"]


def call_text(call: ToolCall) -> str:
    """`refund(order="o-1", cents=500)`."""
    return f"{call.name}({', '.join(f'{name}={as_json(value)}' for name, value in call.arguments.items())})"


def result_text(call: ToolCall) -> str:
    """What came back; behind an exclamation mark what went wrong."""
    if call.error:
        return f"! {call.error}"
    return f"! {call.result} ({call.failed})" if call.failed else str(call.result)


def answer_text(observation: Observation) -> str:
    """The answer; where it is no text (a table, a number), the value that was returned; empty: it failed."""
    outcome = observation.outcome
    if outcome is None or outcome.answer is not None or outcome.value is None:
        return (outcome.answer or "") if outcome else ""
    return as_json(outcome.value)


def as_json(value: Any, *, default: Callable[[Any], str] = str) -> str:
    """A value as JSON where it is some, else as Python shows it, else its type."""
    with contextlib.suppress(TypeError, ValueError, RecursionError):  # keys that are no texts
        return json.dumps(value, ensure_ascii=False, default=default)
    with contextlib.suppress(ValueError, RecursionError):  # an integer of thousands of digits
        return repr(value)
    return f"<{type(value).__name__}>"
