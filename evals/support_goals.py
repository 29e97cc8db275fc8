"""What right calls leave in the shop: the goal of a support case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["goal_of"]

_TABLES = {"refund": "refunds", "open_ticket": "tickets", "send_email": "emails"}
_COLUMNS = {"to": "recipient"}


def goal_of(calls: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Rows that are new at the end, by table; nothing else may have changed."""
    goal: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        if call["name"] in _TABLES:
            row = {_COLUMNS.get(name, name): value for name, value in call["arguments"].items()}
            goal.setdefault(_TABLES[call["name"]], []).append(row)
    return goal
