"""What was asked, as a person would read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from shadoweval.capture.outcomes import answer_text

__all__ = ["asked"]

_QUESTIONS: Final = ("question", "query", "input")


def asked(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """The question as a person would read it.

    The first argument that is text, else the keyword `question`, `query` or `input`, else the last message's text.
    """
    for value in args:
        if type(value) is str:
            return value
    for name in _QUESTIONS:
        value = kwargs.get(name)
        if isinstance(value, str):
            return value
    for value in (*args, *kwargs.values()):
        text = _in_message(value)
        if text is not None:
            return text
    return ""


def _in_message(value: Any) -> str | None:
    if isinstance(value, Mapping):
        found = cast("Mapping[str, Any]", value)
        for name in _QUESTIONS:
            if isinstance(found.get(name), str):
                return found[name]
        messages = found.get("messages")
        return None if messages is None else _in_message(messages)
    if isinstance(value, list | tuple) and value:
        last: Any = cast("Sequence[Any]", value)[-1]
        if isinstance(last, tuple) and len(cast("tuple[Any, ...]", last)) == 2:
            return str(last[1])
        return answer_text(last)
    return None
