"""Which tool call was it, and what was it about? One rule for replay, worlds and the comparison of writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from shadoweval import codec
from shadoweval.capture.copying import packed
from shadoweval.errors import UncopyableError

__all__ = [
    "Identifier",
    "call_key",
    "chosen",
    "given_out",
    "identifiers",
    "names_identifier",
    "parsed",
    "touched",
    "whole_words",
]

_IDENTIFYING: Final = re.compile(r"[\d@]")
_JSON: Final = frozenset({str, int, float, bool, type(None)})

_LETTER: Final = "0-9A-Za-z_\u00c0-\u0dff\u1e00-\u1fff\uac00-\ud7af"
"""What words are made of in scripts that set words apart by spaces; in the others any place may be a word."""

Identifier = tuple[str, Any]
"""Name, empty for a text, and value of something that calls may have in common."""


def chosen(arguments: Mapping[str, Any], names: Sequence[str] | None) -> Mapping[str, Any]:
    """The arguments that a call is compared by: those named, or all where none is named or there."""
    return {name: arguments[name] for name in names or () if name in arguments} or arguments


def call_key(arguments: Mapping[str, Any]) -> str:
    """`codec.canonical`, with objects, and what of them is still encoded, by their bytes."""
    if _JSON.issuperset(map(type, arguments.values())):
        return codec.canonical(arguments)
    return codec.canonical({name: _comparable(value) for name, value in arguments.items()})


def _comparable(value: Any) -> Any:
    if type(value) in _JSON:
        return value
    if isinstance(value, Mapping):
        return {key: _comparable(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_comparable(part) for part in cast("list[Any]", value)]
    if isinstance(value, set | frozenset):
        return sorted((_comparable(part) for part in cast("set[Any]", value)), key=repr)
    try:
        return codec.freeze(value).hex()
    except UncopyableError:
        return f"{type(value).__module__}.{type(value).__qualname__}"


def touched(arguments: Mapping[str, Any], result: Any) -> set[Identifier]:
    """Identifiers in a call: texts with a digit or an @ wherever they are, whole numbers under the argument's name."""
    identifiers: set[Identifier] = set()
    for name, value in arguments.items():
        _gather(name, value, identifiers)
    structure = parsed(result)
    _gather("", _read(result) if structure is None else structure, identifiers)
    return identifiers


def _read(result: Any) -> Any:
    """A result as data, whether it is an object, encoded, or data already; None: it can't be."""
    if result is None or isinstance(result, str | int | float):
        return result
    try:
        return codec.data(packed(result, codec.MAX_BYTES))
    except UncopyableError:
        return None


def parsed(result: Any) -> Any:
    """The object or array in a JSON text, as agents get it from their frameworks; None: no such text."""
    if not isinstance(result, str) or not result.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(result)
    except ValueError:
        return None


def identifiers(arguments: Mapping[str, Any]) -> Iterable[Identifier]:
    """`touched` of a read. Values that are no identifiers may be among them: no write has them."""
    if _JSON.issuperset(map(type, arguments.values())):
        return [("" if type(value) is str else name, value) for name, value in arguments.items()]
    return touched(arguments, None)


def _gather(name: str, value: Any, into: set[Identifier]) -> None:
    if isinstance(value, str):
        if _IDENTIFYING.search(value):
            into.add(("", value))
    elif isinstance(value, int):
        if not isinstance(value, bool):
            into.add((name, value))
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[Any, Any]", value).items():
            _gather(str(key), part, into)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in cast("Iterable[Any]", value):
            _gather(name, part, into)


def whole_words(texts: Iterable[str]) -> re.Pattern[str] | None:
    """Finds the texts where they are no part of a longer word, number, name or address; None: there are none."""
    # Longer ones first: of two that begin at one place the longer one is meant.
    longest_first = sorted(texts, key=len, reverse=True)
    if not longest_first:
        return None
    either = "|".join(map(re.escape, longest_first))
    return re.compile(rf"(?<![{_LETTER}@-])(?<![{_LETTER}]\.)(?:{either})(?![{_LETTER}@-])(?!\.[{_LETTER}])")


def names_identifier(key: str) -> bool:
    """Whether what stands under a key identifies something."""
    lowered = key.lower()
    return lowered in {"id", "uuid", "number"} or lowered.endswith(("_id", "_uuid", "_number"))


def given_out(result: Any, name: str = "") -> Iterable[Identifier]:
    """Identifiers that a call gave out: what stands under a name of identifiers in its result."""
    structure = parsed(result)
    result = result if structure is None else structure
    if isinstance(result, Mapping):
        for key, part in cast("Mapping[Any, Any]", result).items():
            yield from given_out(part, str(key))
    elif isinstance(result, list | tuple):
        for part in cast("Iterable[Any]", result):
            yield from given_out(part, name)
    elif names_identifier(name):
        yield from touched({name: result}, None)
