"""What a stage saw of one query, as kinds by path: `tools.search.result[].price` is a number, `hits` is an empty list.

Kinds and names of fields only, never a value. A key that is no short name (an id, a mail address, a sentence) is `*`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from shadoweval.codec import data
from shadoweval.errors import CorruptFrameError
from shadoweval.records import Observation, Query
from shadoweval.verdict.facts import UNFAITHFUL

__all__ = ["ABSENT", "Seen"]

ABSENT: Final = frozenset({"missing", "none", "empty text", "an empty list", "an empty object"})
"""Kinds of what is there in name only."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z_-]{0,39}[0-9]{0,2}")
_DEEPEST: Final = 4
_MOST: Final = 100
"""Paths of one run."""
_KEYS: Final = 30
"""Of an object that are told apart; one with more is a table by ids, and no schema."""
_ROWS: Final = 3
"""Of a list that are looked at."""
_OPEN: Final = frozenset({"an object", "a list"})


class Seen:
    """Kinds by path of one run or query."""

    __slots__ = ("kinds", "opened", "parents")

    def __init__(self, *roots: str) -> None:
        self.kinds: dict[str, str] = {}
        self.parents: dict[str, str] = {}
        self.opened = set(roots)
        """What could have fields: a field that is not there is missing only where its parent is."""

    @classmethod
    def of_query(cls, query: Query) -> Seen:
        """What was passed, and the attributes."""
        seen = cls("inputs", "attributes")
        try:
            args, kwargs = data(query.inputs) if query.inputs else ((), {})
        except (CorruptFrameError, ValueError, TypeError):
            args, kwargs = (), {}
        for place, value in enumerate(args):
            seen.note(f"inputs.{place}", value, parent="inputs")
        seen._fields("inputs", kwargs, depth=1)
        seen._fields("attributes", query.attributes, depth=1)
        return seen

    @classmethod
    def of_run(cls, run: Observation) -> Seen | None:
        """Hits, tool calls and answer; None of a run that failed."""
        if run.outcome is None:
            return None
        outcome, seen = run.outcome, cls("run")
        seen.note("answer", outcome.answer, parent="run")
        if not isinstance(outcome.value, str | None):
            seen.note("value", outcome.value, parent="run")
        seen._enter("hits", "a list" if outcome.hits else "an empty list", "run")
        for hit in outcome.hits[:_ROWS]:
            seen.note("hits[].text", hit.text, parent="hits")
            seen.note("hits[].score", hit.score, parent="hits")
        seen.opened.add("run")
        for call in outcome.tool_calls:
            tool = f"tools.{_named(call.name)}"
            seen._enter(tool, "called", "run")
            seen.opened.add(tool)
            seen._fields(f"{tool}.arguments", call.arguments, depth=1)
            seen.opened.add(f"{tool}.arguments")
            if call.succeeded and call.answered not in UNFAITHFUL:
                seen.opened.add(f"{tool} answered")
                seen.note(f"{tool}.result", call.result, parent=f"{tool} answered")
        return seen

    def note(self, path: str, value: Any, *, parent: str, depth: int = 1) -> None:
        """Note a value and what is in it."""
        if len(self.kinds) >= _MOST:
            return
        kind = _kind(value)
        self._enter(path, kind, parent)
        if kind not in _OPEN or depth >= _DEEPEST:
            return
        if isinstance(value, Mapping):
            self._fields(path, value, depth=depth + 1)  # pyright: ignore[reportUnknownArgumentType] - users' values
        else:
            for row in list(value)[:_ROWS]:
                self.note(f"{path}[]", row, parent=path, depth=depth + 1)

    def _fields(self, path: str, fields: Mapping[Any, Any], *, depth: int) -> None:
        for name, value in list(fields.items())[: _KEYS if len(fields) <= _KEYS else _ROWS]:
            shown = _named(str(name)) if len(fields) <= _KEYS else "*"
            self.note(f"{path}.{shown}", value, parent=path, depth=depth)

    def _enter(self, path: str, kind: str, parent: str) -> None:
        known = self.kinds.get(path)
        if kind in _OPEN:
            self.opened.add(path)
        if known is None:
            self.kinds[path], self.parents[path] = kind, parent
        elif known != kind and (known in ABSENT or kind not in ABSENT):
            # Of rows that differ the one that is there counts; of two that are, both.
            self.kinds[path] = kind if known in ABSENT else " or ".join(sorted({*known.split(" or "), kind}))


def _named(name: str) -> str:
    return name if _NAME.fullmatch(name) else "*"


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, str):
        return "text" if value.strip() else "empty text"
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list" if value else "an empty list"  # pyright: ignore[reportUnknownVariableType]
    numbers = {bool: "true or false", int: "a number", float: "a number"}
    return numbers.get(type(value), "another value")
