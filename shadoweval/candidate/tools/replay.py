"""Answers from the incumbent's record, keyed by tool, canonical arguments and occurrence: never first in, first out."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture import uncopyable
from shadoweval.checks import checked_keywords, checked_truth
from shadoweval.errors import UncopyableError
from shadoweval.protocols import StubAnswer, ToolRequest
from shadoweval.records import Effect, ToolCall

__all__ = ["KeyedRequest", "Normal", "Record", "Replay", "call_key", "parsed"]

_IDENTIFYING: Final = re.compile(r"[\d@]")
_JSON: Final = frozenset({str, int, float, bool, type(None)})

Normal = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Arguments as the tool itself would see them: validated, with its defaults, without what it ignores."""


class KeyedRequest(ToolRequest, frozen=True, kw_only=True):
    """A request with what all policies of a run share."""

    key: str = ""
    """What it is replayed by, see `call_key`."""
    record: Record | None = None
    """The incumbent's calls of the same query."""


def call_key(arguments: Mapping[str, Any]) -> str:
    """`codec.canonical`, with objects and what stayed encoded of them (msgpack extensions) by their bytes."""
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
        return msgspec.msgpack.encode(value if isinstance(value, msgspec.msgpack.Ext) else codec.plain(value)).hex()
    except UncopyableError:
        return f"{type(value).__module__}.{type(value).__qualname__}"


class Record:
    """The incumbent's tool calls of one query, indexed a tool at a time, when that tool is first asked for.

    Args:
        calls: In the order in which they ended.
        effects: Tool -> effect, where the experiment says so.
    """

    def __init__(self, calls: Iterable[ToolCall], *, effects: Mapping[str, Effect] | None = None) -> None:
        declared = effects or {}
        self._by_tool: dict[str, list[ToolCall]] = {}
        self._written: list[tuple[int, ToolCall]] = []
        """The incumbent's writes, with their positions among all calls."""
        self._calls = tuple(calls)
        for position, call in enumerate(self._calls):
            self._by_tool.setdefault(call.name, []).append(call)
            if declared.get(call.name, call.effect) != "read" and call.error is None:
                self._written.append((position, call))
        self._indexed: dict[str, dict[str, list[ToolCall]]] = {}
        self._keys: dict[int, str] = {}
        self._mine: dict[_Identifier, list[tuple[int, tuple[str, str]]]] = {}
        """The candidate's writes, numbered, as tool and key, by what they are about."""
        self._writes = 0
        self.made_up = itertools.count(1)
        """Numbers for identifiers that `Simulate` makes up, different from call to call."""

    def calls(self, tool: str) -> tuple[ToolCall, ...]:
        """All calls of the tool, in the order in which they ended."""
        return tuple(self._by_tool.get(tool, ()))

    def index(self, tool: str, *, normal: Normal | None = None) -> Mapping[str, list[ToolCall]]:
        """The tool's calls by key. `normal` is applied to the recorded arguments when the index is made."""
        index = self._indexed.get(tool)
        if index is None:
            index = self._indexed[tool] = {}
            for call in self._by_tool.get(tool, ()):
                key = self._keys[id(call)] = call_key(normal(call.arguments) if normal else call.arguments)
                index.setdefault(key, []).append(call)
        return index

    def find(self, request: ToolRequest, *, again: bool = False) -> ToolCall | None:
        """The call that the request repeats, or None. `again`: the last one also for further repetitions."""
        key = request.key if isinstance(request, KeyedRequest) else call_key(request.arguments)
        same = self.index(request.name).get(key, ())
        if again and same:
            return same[min(request.occurrence, len(same)) - 1]
        return same[request.occurrence - 1] if request.occurrence <= len(same) else None

    def wrote(self, request: KeyedRequest, result: Any) -> None:
        """The candidate has written, as far as it can see."""
        self._writes += 1
        for identifier in _touched(request.arguments, result):
            self._mine.setdefault(identifier, []).append((self._writes, (request.name, request.key)))

    def same_world(self, call: ToolCall, request: ToolRequest) -> bool:
        """Whether a recorded read saw what the candidate's would see: the same writes to what it is about came before.

        A write is about what a read is about where they share an identifier, see `_touched`.
        """
        if not self._written and not self._mine:
            return True
        theirs, mine = self._theirs, self._mine
        about = [key for key in _identifiers(request.arguments) if key in theirs or key in mine]
        if not about:
            return True
        here = self._positions[id(call)]
        before = {position: written for key in about for position, written in theirs.get(key, ()) if position < here}
        own = {number: written for key in about for number, written in mine.get(key, ())}
        return Counter((call.name, self._key(call)) for call in before.values()) == Counter(own.values())

    @functools.cached_property
    def _theirs(self) -> dict[_Identifier, list[tuple[int, ToolCall]]]:
        """The incumbent's writes by what they are about."""
        writes: dict[_Identifier, list[tuple[int, ToolCall]]] = {}
        for position, call in self._written:
            for identifier in _touched(call.arguments, call.result):
                writes.setdefault(identifier, []).append((position, call))
        return writes

    @functools.cached_property
    def _positions(self) -> dict[int, int]:
        return {id(call): position for position, call in enumerate(self._calls)}

    def _key(self, call: ToolCall) -> str:
        self.index(call.name)
        return self._keys[id(call)]


_Identifier = tuple[str, Any]


def _touched(arguments: Mapping[str, Any], result: Any) -> set[_Identifier]:
    """Identifiers in a call: texts with a digit or an @ wherever they are, whole numbers under the argument's name."""
    identifiers: set[_Identifier] = set()
    for name, value in arguments.items():
        _gather(name, value, identifiers)
    structure = parsed(result)
    _gather("", result if structure is None else structure, identifiers)
    return identifiers


def parsed(result: Any) -> Any:
    """The object or array in a JSON text, as agents get it from their frameworks; None: no such text."""
    if not isinstance(result, str) or not result.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(result)
    except ValueError:
        return None


def _identifiers(arguments: Mapping[str, Any]) -> Iterable[_Identifier]:
    """`_touched` of a read. Values that are no identifiers may be among them: no write has them."""
    if _JSON.issuperset(map(type, arguments.values())):
        return [("" if type(value) is str else name, value) for name, value in arguments.items()]
    return _touched(arguments, None)


def _gather(name: str, value: Any, into: set[_Identifier]) -> None:
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


@checked_keywords()
@dataclass(frozen=True, slots=True)
class Replay:
    """The incumbent's recorded result; a call it did not make is passed on.

    A failed call fails again with the same error. A read is answered only where the same writes to what it is about
    came before it in both arms, so that the candidate sees neither the incumbent's later writes nor a world without
    its own. With `repeat_reads`, a read that the candidate repeats more often than the incumbent did gets the last
    recorded result again.
    """

    repeat_reads: bool = False

    def __post_init__(self) -> None:
        checked_truth("Replay", self.repeat_reads)

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The recorded result or error; None: the incumbent made no such call, or its result could not be copied."""
        record = request.record if isinstance(request, KeyedRequest) else None
        if record is None:
            return None
        call = record.find(request, again=self.repeat_reads and request.effect == "read")
        if call is None or call.answered == "refused" or uncopyable(call.result) is not None:
            return None
        if request.effect == "read" and not record.same_world(call, request):
            return None
        return StubAnswer(answered="replayed", result=_fresh(call.result), error=call.error)


def _fresh(value: Any) -> Any:
    """A copy, since the candidate may change what it gets."""
    return value if isinstance(value, str | int | float | bytes) or value is None else copy.deepcopy(value)
