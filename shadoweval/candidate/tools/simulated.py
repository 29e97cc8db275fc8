"""Made-up results of writes, shaped like the tool's real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from shadoweval.candidate.tools.replay import KeyedRequest, with_result
from shadoweval.capture.identity import names_identifier, parsed, whole_words
from shadoweval.checks import checked_choice, checked_keywords, checked_strings
from shadoweval.protocols import StubAnswer, ToolRequest
from shadoweval.records import Effect, ToolCall

__all__ = ["Simulate"]

_SIMULATED: Final = "simulated"
_DEPTH: Final = 8


@checked_keywords()
@dataclass(frozen=True, slots=True)
class Simulate:
    """A result shaped like the tool's: from the incumbent's calls of it for the same query, else from its schema.

    Only of tools that are declared to write, by default: an acknowledged write misleads nobody, an invented read does,
    and a tool of unknown effect may be a read. What a worker saw of other queries changes nothing.
    """

    effects: tuple[Effect, ...] = ("write",)

    def __post_init__(self) -> None:
        effects = checked_strings("Simulate", self.effects)
        effects = tuple(checked_choice("each of Simulate", effect, Effect) for effect in effects)
        object.__setattr__(self, "effects", effects)

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """A made-up result; None: nothing says what the tool's results look like."""
        record = request.record if isinstance(request, KeyedRequest) else None
        if request.effect not in self.effects or record is None:
            return None
        calls = reversed(record.calls(request.name))
        like = next(filter(None, (with_result(call) for call in calls if call.succeeded)), None)
        if like is not None:
            result = from_recorded(like, request.arguments, number=next(record.made_up))
        elif request.schema is not None:
            result = from_schema(request.schema, request.arguments, number=next(record.made_up))
        else:
            return None
        return StubAnswer(answered="simulated", result=result)


def from_recorded(call: ToolCall, arguments: Mapping[str, Any], *, number: int = 1) -> Any:
    """The recorded result with the candidate's arguments in the place of the incumbent's, and fresh identifiers.

    All are exchanged at once, so that nothing is exchanged twice, and inside a text only whole words are.
    """
    exchange = _Exchange(call.arguments, arguments, number)
    structure = parsed(call.result)
    if structure is not None:  # a structure as JSON text, as agents get it from their frameworks
        return json.dumps(exchange.applied(structure, ""), ensure_ascii=False)
    return exchange.applied(call.result, "")


class _Exchange:
    """The candidate's arguments for the incumbent's, in one pass."""

    def __init__(self, incumbent: Mapping[str, Any], candidate: Mapping[str, Any], number: int) -> None:
        self._arguments, self._number = candidate, number
        self._values = _exchanged(incumbent, candidate)
        self._words = {old: str(new) for old, new in self._values if isinstance(old, str)}
        self._inside = whole_words(self._words)

    def applied(self, value: Any, key: str) -> Any:
        """What takes the place of a value that stands under a key."""
        if key in self._arguments and _kind(value) == _kind(self._arguments[key]):
            return self._arguments[key]
        for old, new in self._values:
            if type(value) is type(old) and value == old:
                return new
        if isinstance(value, Mapping):
            return {name: self.applied(part, str(name)) for name, part in cast("Mapping[str, Any]", value).items()}
        if isinstance(value, list | tuple):
            parts = [self.applied(part, "") for part in cast("list[Any]", value)]
            return parts if isinstance(value, list) else tuple(parts)
        return self._scalar(value, key)

    def _scalar(self, value: Any, key: str) -> Any:
        if names_identifier(key) and isinstance(value, str | int) and not isinstance(value, bool):
            return _identifier(value, self._number)
        if isinstance(value, str) and self._inside is not None:
            return self._inside.sub(lambda match: self._words[match[0]], value)
        return value


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return "mapping"
    return "sequence" if isinstance(value, list | tuple) else "scalar"


def _exchanged(incumbent: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Values of the incumbent's arguments with the candidate's of the same name, where they differ.

    Truth values, which stand for nothing but themselves, and values that would become two different ones are left out.
    """
    both = [
        (old, candidate[name])
        for name, old in incumbent.items()
        if name in candidate and not isinstance(old, bool) and old not in ("", None)
    ]
    return [
        (old, new)
        for old, new in both
        if new != old and all(other == new for same, other in both if type(same) is type(old) and same == old)
    ]


def _identifier(like: str | int, number: int) -> str | int:
    """One that no real system gave out: a text says so, a number is negative."""
    return f"{_SIMULATED}-{number}" if isinstance(like, str) else -number


def from_schema(schema: Mapping[str, Any], arguments: Mapping[str, Any], *, number: int = 1) -> Any:
    """The smallest value that fits a JSON schema (draft 2020-12: type, properties, items, enum, const, $ref, anyOf).

    Properties named like an argument get the argument's value.
    """

    def made(part: Mapping[str, Any], key: str, depth: int) -> Any:
        if depth > _DEPTH:
            return None
        if key in arguments:
            return arguments[key]
        for example in _examples(part):
            return example
        inner = _inner(part, schema)
        if inner is not None:
            return made(inner, key, depth + 1)
        kind = part.get("type", "object" if "properties" in part else "null")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            properties = cast("Mapping[str, Mapping[str, Any]]", part.get("properties", {}))
            return {name: made(inside, name, depth + 1) for name, inside in properties.items()}
        text = f"{_SIMULATED}-{number}" if names_identifier(key) else _SIMULATED
        count = -number if names_identifier(key) else part.get("minimum", 0)
        return {"string": text, "integer": count, "number": count, "boolean": True, "array": []}.get(str(kind))

    return made(schema, "", 0)


def _examples(schema: Mapping[str, Any]) -> Iterator[Any]:
    for word in ("const", "default"):
        if word in schema:
            yield schema[word]
    for word in ("enum", "examples"):
        yield from schema.get(word, ())


def _inner(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema that this one refers to, or its first branch that is not null."""
    if "$ref" in schema:
        target: Any = root
        for part in filter(None, str(schema["$ref"]).removeprefix("#").split("/")):
            target = target[part]
        return cast("Mapping[str, Any]", target)
    for word in ("anyOf", "oneOf", "allOf"):
        for branch in cast("Sequence[Mapping[str, Any]]", schema.get(word, ())):
            if branch.get("type") != "null":
                return branch
    return None
