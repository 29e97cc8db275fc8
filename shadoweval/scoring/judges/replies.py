"""A judge's text to a checked reply, or to the reason why it is none: nothing is guessed, cut or filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval._optional import require
from shadoweval.records import Unscored

__all__ = ["read_reply", "without_reason"]

_FENCED: Final = re.compile(r"\s*```(?:json)?\s*\n(.*)\n```\s*", re.DOTALL)
_RANGES: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const"})
_LENGTHS: Final = frozenset({"minItems", "maxItems", "minLength", "maxLength"})


def read_reply(text: str, schema: Mapping[str, Any], *, stopped: str = "") -> dict[str, Any] | Unscored:
    """The reply's content.

    Args:
        text: What the judge said; one fence of Markdown around it is taken off.
        schema: What it must fit.
        stopped: Why the endpoint ended it, where that was not its end: `length`, `refusal`, `content_filter`.
    """
    if stopped in {"refusal", "content_filter"}:
        return Unscored("the judge refused to answer")
    if stopped == "length":
        return Unscored("the judge's reply was cut off: raise Judge(max_tokens=)")
    fenced = _FENCED.fullmatch(text)
    try:
        content = msgspec.json.decode(fenced[1] if fenced else text)
    except (msgspec.DecodeError, RecursionError):
        return Unscored("the judge's reply is not JSON")
    wrong = _misfit(content, schema)
    return Unscored(f"the judge's reply {wrong}") if wrong else cast("dict[str, Any]", content)


def _misfit(content: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong, without its values, so that reasons can be counted; empty: nothing."""
    if not isinstance(content, dict):
        return "is no JSON object"
    jsonschema: Any = require("jsonschema", extra="store", needed_for="Reading a judge's reply")
    first = next(jsonschema.Draft202012Validator(dict(schema)).iter_errors(content), None)
    if first is None:
        return ""
    place = ".".join(str(part) for part in first.absolute_path if isinstance(part, str))
    at = f" in {place!r}" if place else ""
    if first.validator in _RANGES:
        return f"is out of range{at}"
    return f"has a wrong length{at}" if first.validator in _LENGTHS else f"does not fit{at} ({first.validator})"


def without_reason(content: Mapping[str, Any]) -> bytes:
    """What it says, in a form that is equal for equal decisions."""
    return msgspec.json.encode({name: each for name, each in content.items() if name != "reason"}, order="sorted")
