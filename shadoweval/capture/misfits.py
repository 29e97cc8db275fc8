"""Tool calls that no tool could take: of a tool that is not there, or with arguments that are not its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, cast

from shadoweval.capture.failed_results import shown
from shadoweval.records import ToolCall

__all__ = ["NOT_READ", "UNFIT", "UNKNOWN_TOOL", "misfit", "unfit"]

NOT_READ: Final = "InvalidToolCall: its arguments can't be read"
"""How the error of a call begins that the model wrote so that nobody can read it."""
UNKNOWN_TOOL: Final = "UnknownTool: "
"""How the error of a call begins whose tool the model was not offered."""
UNFIT: Final = "InvalidArguments: "
"""How the error of a call begins whose arguments don't fit the schema that the model was given."""

_KINDS: Final = (
    ("arguments that can't be read", re.compile(r"InvalidToolCall: |JSONDecodeError: ")),
    (
        "a tool that is not there",
        # LangGraph's ToolNode; the servers of MCP's SDK, versions 1 and 2.
        re.compile(
            r"UnknownTool: |(?:Error: )?\S+ is not a valid tool"
            r"|(?:\w*Error: )?(?:unknown tool|tool .{1,200} not found)",
            re.IGNORECASE,
        ),
    ),
    (
        "arguments that don't fit",
        # Python's own words, pydantic's, ToolNode's, and those of MCP's servers.
        re.compile(
            r"InvalidArguments: "
            r"|TypeError: \S+ (?:got an unexpected|got some positional-only|missing \d+ required|takes \d+)"
            r"|TypeError: (?:missing a required|got an unexpected|too many positional)"
            r"|ValidationError: |Error invoking tool .* with kwargs |(?:\w*Error: )?input validation error"
            r"|Error executing tool .{1,200}validation error",
            re.IGNORECASE | re.DOTALL,
        ),
    ),
)


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list, tuple),
    "object": (Mapping,), "null": (type(None),),
}  # fmt: skip


def unfit(arguments: Mapping[str, Any], schema: Any, *, coerced: bool = False) -> str:
    """Why arguments don't fit the JSON schema of a tool's parameters; empty: they do, as far as is looked.

    That is what every tool asks: what is required is there, nothing is there that is not allowed, and each value has
    its type and is among those listed. `coerced`: who takes them makes numbers of texts, and passes over what it does
    not know, as pydantic does. It runs in the request path.
    """
    if not isinstance(schema, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", schema)
    known: Any = fields.get("properties")
    parts = cast("Mapping[str, Any]", known) if isinstance(known, Mapping) else {}
    for name in fields.get("required") or ():
        if name not in arguments:
            return f"{UNFIT}{name!r} is required"
    for name, value in arguments.items():
        if name not in parts:
            if fields.get("additionalProperties") is False and not coerced:
                return f"{UNFIT}{name!r} is not allowed"
        elif (wrong := _wrong(value, parts[name])) and not (coerced and _readable(value)):
            return f"{UNFIT}{name!r} {wrong}"
    return ""


def _wrong(value: Any, schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return ""
    fields = cast("Mapping[str, Any]", schema)
    types: Any = fields.get("type", ())
    names = (types,) if isinstance(types, str) else tuple(types)
    if names and not any(_of_type(value, name) for name in names):
        return f"is no {' or '.join(names)}"
    listed: Any = fields.get("enum")
    return "is not one of those listed" if isinstance(listed, list) and value not in listed else ""


def _readable(value: Any) -> bool:
    """Whether it may be read as a value of another type: a text that is JSON, a number for a truth."""
    if not isinstance(value, str):
        return isinstance(value, int | float)
    try:
        json.loads(value.lower())
    except ValueError:
        return False
    return True


def _of_type(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def misfit(call: ToolCall) -> str:
    """What of a call no tool could take; empty: nothing, whatever became of it."""
    text = call.error or (shown(call.result) if call.failed else "")
    return next((kind for kind, words in _KINDS if text and words.match(text)), "")
