"""Streamed answers, put together into the JSON that the server would have sent whole.

So there is one reader for both, `replies.read_reply`. The SDK's own accumulator does the same for the streams of OpenAI
itself (it is what the tests compare with); other servers leave out the index of a tool call, repeat its id, give each
piece a new one, or put every call at index 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from shadoweval.adapters.openai.fields import (
    USAGE,
    fields_of,
    items,
    joined,
    part,
    reasoning_of,
    text_of,
    tool_call_body,
)

__all__ = ["ChatChunks", "ResponseEvents"]

_COMMON: Final = frozenset({"content", "role"})
_JSON_ENDS: Final = ("}", "]")


class ChatChunks:
    """Chunks of a chat completion, or of a completion of the first API."""

    def __init__(self) -> None:
        self.model = ""
        self.usage: dict[str, Any] = {}
        self.choices: dict[int, _Choice] = {}

    def add(self, chunk: Any) -> None:
        """One more chunk."""
        fields = fields_of(chunk)
        self.model = fields.get("model") or self.model
        usages = [part(fields["x_groq"], "usage")] if "x_groq" in fields else []
        usages.append(fields.get("usage"))
        for choice in items(fields.get("choices")):
            own = fields_of(choice)
            self.choices.setdefault(_number(own.get("index")) or 0, _Choice()).add(own)
            usages.append(own.get("usage"))  # Moonshot's
        for usage in usages:
            if usage is not None:
                self.usage.update({name: count for name in USAGE if (count := part(usage, name)) is not None})

    def whole(self) -> dict[str, Any]:
        """As a chat completion; the first choice is the answer."""
        choices = [choice.whole() for _, choice in sorted(self.choices.items())]
        return {"model": self.model, "choices": choices, "usage": self.usage}


def _number(index: Any) -> int | None:
    """An index, which some servers send as a text."""
    return int(index) if isinstance(index, int) or (isinstance(index, str) and index.isdecimal()) else None


class _Choice:
    def __init__(self) -> None:
        self.texts: list[str | None] = []
        self.reasoning: list[str | None] = []
        self.refusal: list[str | None] = []
        self.transcript: list[str | None] = []
        self.calls = _CallPieces()
        self.function: _Call | None = None
        self.hosted: list[Any] = []
        self.rest: dict[str, Any] = {}

    def add(self, choice: Mapping[str, Any]) -> None:
        delta = choice.get("delta")
        fields = fields_of(delta)
        text = fields.get("content") if delta is not None else choice.get("text")
        if type(text) is str:
            self.texts.append(text)
        if (type(text) is not str and text is not None) or any(
            value is not None and name not in _COMMON for name, value in fields.items()
        ):
            self._add_rest(delta, text)
        for name in ("finish_reason", "error"):
            self.rest[name] = choice.get(name) or self.rest.get(name)

    def _add_rest(self, delta: Any, text: Any) -> None:
        """What most chunks do not have."""
        if type(text) is not str:
            self.texts.append(text_of(text))
        self.reasoning.append(reasoning_of(delta))
        self.refusal.append(text_of(part(delta, "refusal")))
        self.transcript.append(text_of(part(delta, "audio", "transcript")))
        for position, piece in enumerate(items(part(delta, "tool_calls"))):
            self.calls.add(piece, alone=not position)
        function = part(delta, "function_call")
        if function is not None:
            self.function = self.function or _Call("", 0)
            self.function.add("", part(function, "name"), part(function, "arguments"))
        self.hosted += items(part(delta, "executed_tools"))

    def whole(self) -> dict[str, Any]:
        message = {
            "content": joined(self.texts),
            "reasoning_content": joined(self.reasoning),
            "refusal": joined(self.refusal),
            "audio": {"transcript": joined(self.transcript)},
            "tool_calls": self.calls.whole(),
            "function_call": None if self.function is None else self.function.whole()["function"],
            "executed_tools": self.hosted,
        }
        return {"message": message, **self.rest}


class _Call:
    """A tool call in pieces."""

    def __init__(self, call_id: str, position: int) -> None:
        self.id, self.position = call_id, position
        self.name = ""
        self.arguments: Any = ""

    def complete(self) -> bool:
        """Whether its arguments are a whole JSON value already."""
        if not isinstance(self.arguments, str):
            return True
        if not self.arguments.rstrip().endswith(_JSON_ENDS):
            return False
        try:
            json.loads(self.arguments)
        except ValueError:
            return False
        return True

    def add(self, call_id: str, name: Any, arguments: Any) -> None:
        """One more piece. What repeats what is there already, as some servers do at the end, adds nothing."""
        self.id = self.id or call_id
        if name and not self.arguments and name != self.name:
            self.name += str(name)
        if isinstance(arguments, Mapping):
            self.arguments = {**(self.arguments or {}), **cast("Mapping[str, Any]", arguments)}
        elif arguments and isinstance(self.arguments, str) and not (arguments == self.arguments and self.complete()):
            self.arguments += str(arguments)

    def whole(self) -> dict[str, Any]:
        return {"id": self.id, "function": {"name": self.name, "arguments": self.arguments}}


class _CallPieces:
    """Tool calls whose pieces come in any of the ways in which servers send them."""

    def __init__(self) -> None:
        self.calls: list[_Call] = []
        self.by_index: dict[Any, _Call] = {}

    def add(self, piece: Any, *, alone: bool) -> None:
        """One piece; `alone`: it is the first of its chunk."""
        call_id, index = str(part(piece, "id") or ""), part(piece, "index")
        number = _number(index)
        name, arguments = tool_call_body(piece)
        call = self._place(call_id, index if number is None else number, alone=alone or not name)
        if call is None or _opens(call, call_id, name=name, arguments=arguments):
            free = 1 + max((other.position for other in self.calls), default=-1)
            taken = any(other.position == number for other in self.calls)
            call = _Call(call_id, free if number is None or taken else number)
            self.calls.append(call)
            if index is not None:
                self.by_index[index if number is None else number] = call
        call.add(call_id, name, arguments)

    def _place(self, call_id: str, index: Any, *, alone: bool) -> _Call | None:
        """The call that a piece seems to belong to: by its index, else by its id, else the last one."""
        if index is not None:
            return self.by_index.get(index)
        if call_id:
            return next((call for call in reversed(self.calls) if call.id == call_id), None)
        return self.calls[-1] if self.calls and alone else None

    def whole(self) -> list[dict[str, Any]]:
        return [call.whole() for call in sorted(self.calls, key=lambda call: call.position)]


def _opens(call: _Call, call_id: str, *, name: Any, arguments: Any) -> bool:
    """Whether a piece at the place of this call begins another one; only a piece with a name does.

    Another id tells (vLLM gave each piece one of its own, but no name); without ids, that the call was complete.
    """
    if not name or (call_id and call_id == call.id):
        return False
    if call_id and call.id:
        return True
    return bool(call.arguments) and call.complete() and bool(arguments or name != call.name)


_DELTAS: Final[Mapping[str, tuple[str, str, str]]] = {
    "response.output_text": ("content", "output_text", "text"),
    "response.refusal": ("content", "refusal", "refusal"),
    "response.reasoning_text": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text": ("summary", "summary_text", "text"),
}
"""Event -> list of the item in which its part stands, type of the part, its field."""
_INPUTS: Final[Mapping[str, tuple[str, str]]] = {
    "response.function_call_arguments": ("function_call", "arguments"),
    "response.mcp_call_arguments": ("mcp_call", "arguments"),
    "response.custom_tool_call_input": ("custom_tool_call", "input"),
}
"""Event -> type of its item, field."""
_OWNERS: Final = {"reasoning_text": "reasoning", "summary_text": "reasoning"}


class ResponseEvents:
    """Events of a response.

    The last event holds the whole response; a stream that is left or cut has none, and some servers send one without
    output. Then it is put together from its items.
    """

    def __init__(self) -> None:
        self.response: Any = None
        self.error: Any = None
        self.items: dict[Any, dict[str, Any]] = {}
        self.done: dict[Any, Any] = {}

    def add(self, kind: str, event: Any) -> None:
        """One more event."""
        if kind == "error":
            self.error = part(event, "error") or {"code": part(event, "code"), "message": part(event, "message")}
        response = part(event, "response")
        if response is not None:
            self.response = response
        place = part(event, "output_index")
        place = part(event, "item_id") if place is None else place
        stem, _, verb = kind.rpartition(".")
        if kind == "response.output_item.done":
            self.done[place] = part(event, "item")
        elif kind == "response.output_item.added":
            item = part(event, "item")
            names = ("type", "id", "call_id", "name", "arguments", "input", "server_label")
            self.items[place] = {name: part(item, name) for name in names}
        elif stem in _DELTAS:
            self._add_text(stem, verb, event=event, place=place)
        elif stem in _INPUTS:
            self._add_input(stem, verb, event=event, place=place)

    def _add_text(self, stem: str, verb: str, *, event: Any, place: Any) -> None:
        many, kind, field = _DELTAS[stem]
        item = self.items.setdefault(place, {"type": _OWNERS.get(kind, "message")})
        number = part(event, "summary_index" if many == "summary" else "content_index") or 0
        piece = item.setdefault(many, {}).setdefault(number, {"type": kind, field: ""})
        if verb == "delta":
            piece[field] += str(part(event, "delta") or "")
        else:
            piece[field] = part(event, field) or piece[field]

    def _add_input(self, stem: str, verb: str, *, event: Any, place: Any) -> None:
        kind, field = _INPUTS[stem]
        item = self.items.setdefault(place, {"type": kind, "id": part(event, "item_id"), "name": part(event, "name")})
        if verb == "delta":
            item[field] = (item.get(field) or "") + str(part(event, "delta") or "")
        else:
            item[field] = part(event, field) or item.get(field)

    def whole(self) -> Any:
        """As a response."""
        response = self.response
        if self.error is None and (items(part(response, "output")) or not (self.items or self.done)):
            return response
        fields = {name: part(response, name) for name in ("model", "status", "usage", "error", "incomplete_details")}
        output = [self._item(place) for place in sorted({**self.items, **self.done}, key=_order)]
        return {**fields, "error": self.error or fields["error"], "output": output}

    def _item(self, place: Any) -> Any:
        item = self.done.get(place)
        if item is not None:
            return item
        lists = {many: [piece for _, piece in sorted(self.items[place].get(many, {}).items())] for many in _LISTS}
        return {**self.items[place], **lists}


_LISTS: Final = ("content", "summary")


def _order(place: Any) -> tuple[bool, Any]:
    return not isinstance(place, int), place if isinstance(place, int) else str(place)
