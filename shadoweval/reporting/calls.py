"""Tool calls of a run as texts."""

from __future__ import annotations

import json
from typing import Any

from shadoweval.records import ToolCall

__all__ = ["call_text", "result_text"]


def call_text(call: ToolCall) -> str:
    """`refund(order="o-1", cents=500)`."""
    return f"{call.name}({', '.join(f'{name}={_argument(value)}' for name, value in call.arguments.items())})"


def result_text(call: ToolCall) -> str:
    """What came back; behind an exclamation mark what went wrong."""
    if call.error:
        return f"! {call.error}"
    return f"! {call.result} ({call.failed})" if call.failed else str(call.result)


def _argument(value: Any) -> str:
    """As JSON where it is some."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):  # keys that are no texts, an integer of thousands of digits
        return repr(value)
