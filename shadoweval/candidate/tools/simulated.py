"""Made-up results of writes, shaped like the tool's real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from shadoweval.candidate.tools.replay import KeyedRequest, parsed
from shadoweval.capture import uncopyable
from shadoweval.checks import checked_choice, checked_keywords, checked_strings
from shadoweval.protocols import StubAnswer, ToolRequest
from shadoweval.records import Effect, ToolCall

__all__ = ["Simulate", "shape_of"]

_SIMULATED: Final = "simulated"
_DEPTH: Final = 8


@checked_keywords()
@dataclass(frozen=True, slots=True)
class Simulate:
    """A result shaped like the tool's.

    From the incumbent's calls of the same tool, else from its output schema, else from what the tool's results in other
    queries looked like. Only writes by default: an acknowledged write misleads nobody, an invented read does.
    """

    effects: tuple[Effect, ...] = ("write", "unknown")

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
        like = next((call for call in calls if call.error is None and uncopyable(call.result) is None), None)
        if like is None and request.schema is not None:
            result = from_schema(request.schema, request.arguments, number=next(record.made_up))
        elif like is not None or request.name in record.shapes:
            like = like or ToolCall(name=request.name, result=record.shapes[request.name])
            result = from_recorded(like, request.arguments, number=next(record.made_up))
        else:
            return None
        return StubAnswer(answered="simulated", result=result)


def shape_of(result: Any) -> Any:
    """A result without what it says: the same names and types, lists empty."""
    structure = parsed(result)
    if structure is not None:
        return json.dumps(shape_of(structure))
    if isinstance(result, Mapping):
        return {str(name): shape_of(value) for name, value in cast("Mapping[Any, Any]", result).items()}
    if isinstance(result, bool) or result is None:
        return result
    blanks: dict[type, Any] = {str: _SIMULATED, int: 0, float: 0.0, list: [], tuple: []}
    return blanks.get(type(result))


def from_recorded(call: ToolCall, arguments: Mapping[str, Any], *, number: int = 1) -> Any:
    """The recorded result with the candidate's arguments in the place of the incumbent's, and fresh identifiers."""
    swaps = [
        (old, arguments[name])
        for name, old in call.arguments.items()
        if name in arguments and old != arguments[name] and isinstance(old, str | int | float) and old != ""
    ]
    # Longer texts first, so that no text is replaced inside a longer one.
    swaps.sort(key=lambda swap: len(str(swap[0])), reverse=True)

    def swapped(value: Any, key: str) -> Any:
        if isinstance(value, Mapping):
            return {name: swapped(part, str(name)) for name, part in cast("Mapping[str, Any]", value).items()}
        if isinstance(value, list | tuple):
            parts = [swapped(part, key) for part in cast("list[Any]", value)]
            return parts if isinstance(value, list) else tuple(parts)
        if key in arguments:
            return arguments[key]
        if _names_identifier(key) and isinstance(value, str | int) and not isinstance(value, bool):
            return _identifier(value, number)
        for old, new in swaps:
            if type(value) is type(old) and value == old:
                return new
            if isinstance(value, str) and isinstance(old, str) and old in value:
                value = value.replace(old, str(new))
        return value

    structure = parsed(call.result)
    if structure is not None:  # a structure as JSON text, as agents get it from their frameworks
        return json.dumps(swapped(structure, ""), ensure_ascii=False)
    return swapped(call.result, "")


def _names_identifier(key: str) -> bool:
    lowered = key.lower()
    return lowered in {"id", "uuid", "number"} or lowered.endswith(("_id", "_uuid", "_number"))


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
        text = f"{_SIMULATED}-{number}" if _names_identifier(key) else _SIMULATED
        count = -number if _names_identifier(key) else part.get("minimum", 0)
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
