"""Answers from the incumbent's record, keyed by tool, canonical arguments and occurrence: never first in, first out."""

from __future__ import annotations

import copy
import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture import uncopyable
from shadoweval.errors import UncopyableError
from shadoweval.protocols import StubAnswer, ToolRequest
from shadoweval.records import Effect, ToolCall

__all__ = ["KeyedRequest", "Normal", "Record", "Replay", "call_key", "parsed"]

_IDENTIFYING: Final = re.compile(r"[\d@]")
_JSON: Final = frozenset({str, int, float, bool, type(None)})

Normal = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Arguments as the tool itself would see them: validated, with its defaults, without what it ignores."""


class KeyedRequest(ToolRequest, frozen=True, kw_only=True):
    """A request with the key it is replayed by, so that it is made once for all policies."""

    key: str = ""


def call_key(arguments: Mapping[str, Any]) -> str:
    """`codec.canonical`, with objects and what stayed encoded of them (msgpack extensions) by their bytes."""
    if _JSON.issuperset(map(type, arguments.values())):
        return codec.canonical(arguments)
    return codec.canonical({name: _told(value) for name, value in arguments.items()})


def _told(value: Any) -> Any:
    if type(value) in _JSON:
        return value
    if isinstance(value, Mapping):
        return {key: _told(part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_told(part) for part in cast("list[Any]", value)]
    if isinstance(value, set | frozenset):
        return sorted((_told(part) for part in cast("set[Any]", value)), key=repr)
    try:
        return msgspec.msgpack.encode(value if isinstance(value, msgspec.msgpack.Ext) else codec.plain(value)).hex()
    except UncopyableError:
        return f"{type(value).__module__}.{type(value).__qualname__}"


class Record:
    """The incumbent's tool calls of one query, indexed a tool at a time, when that tool is first asked for.

    Args:
        calls: In the order in which they ended.
        effects: Tool -> effect, where the experiment says so.
        shapes: Tool -> `simulate.shape_of` a result of another query.
    """

    def __init__(
        self,
        calls: Iterable[ToolCall],
        *,
        effects: Mapping[str, Effect] | None = None,
        shapes: Mapping[str, Any] | None = None,
    ) -> None:
        self.shapes = shapes or {}
        declared = effects or {}
        self._by_tool: dict[str, list[ToolCall]] = {}
        self._written: list[tuple[int, ToolCall]] = []
        """The incumbent's writes, with their places among all calls."""
        self._calls = tuple(calls)
        for place, call in enumerate(self._calls):
            self._by_tool.setdefault(call.name, []).append(call)
            if declared.get(call.name, call.effect) != "read" and call.error is None:
                self._written.append((place, call))
        self._indexed: dict[str, dict[str, list[ToolCall]]] = {}
        self._keys: dict[int, str] = {}
        self._mine: dict[_Identifier, list[tuple[int, tuple[str, str]]]] = {}
        """The candidate's writes, as tool and key, by what they are about."""
        self._numbers = itertools.count()

    def calls(self, tool: str) -> tuple[ToolCall, ...]:
        """All calls of the tool, in the order in which they ended."""
        return tuple(self._by_tool.get(tool, ()))

    def index(self, tool: str, *, normal: Normal | None = None) -> Mapping[str, list[ToolCall]]:
        """The tool's calls by key. `normal` is applied to the recorded arguments when the index is made."""
        found = self._indexed.get(tool)
        if found is None:
            found = self._indexed[tool] = {}
            for call in self._by_tool.get(tool, ()):
                key = self._keys[id(call)] = call_key(normal(call.arguments) if normal else call.arguments)
                found.setdefault(key, []).append(call)
        return found

    def find(self, request: ToolRequest, *, again: bool = False) -> ToolCall | None:
        """The call that the request repeats, or None. `again`: the last one also for further repetitions."""
        key = request.key if isinstance(request, KeyedRequest) else call_key(request.arguments)
        same = self.index(request.name).get(key, ())
        if again and same:
            return same[min(request.occurrence, len(same)) - 1]
        return same[request.occurrence - 1] if request.occurrence <= len(same) else None

    def wrote(self, request: KeyedRequest, result: Any) -> None:
        """The candidate has written, as far as it can see."""
        written = next(self._numbers), (request.name, request.key)
        for identifier in _touched(request.arguments, result):
            self._mine.setdefault(identifier, []).append(written)

    def same_world(self, call: ToolCall, request: ToolRequest) -> bool:
        """Whether a recorded read saw what the candidate's would see: the same writes to what it is about came before.

        A write is about what a read is about where they share an identifier, see `_touched`.
        """
        if not self._written and not self._mine:
            return True
        theirs, mine = self._theirs, self._mine
        about = [one for one in _asked_about(request.arguments) if one in theirs or one in mine]
        if not about:
            return True
        here = self._places[id(call)]
        before = {place: written for one in about for place, written in theirs.get(one, ()) if place < here}
        own = {number: written for one in about for number, written in mine.get(one, ())}
        return Counter((call.name, self._key(call)) for call in before.values()) == Counter(own.values())

    @functools.cached_property
    def _theirs(self) -> dict[_Identifier, list[tuple[int, ToolCall]]]:
        """The incumbent's writes by what they are about."""
        found: dict[_Identifier, list[tuple[int, ToolCall]]] = {}
        for place, call in self._written:
            for identifier in _touched(call.arguments, call.result):
                found.setdefault(identifier, []).append((place, call))
        return found

    @functools.cached_property
    def _places(self) -> dict[int, int]:
        return {id(call): place for place, call in enumerate(self._calls)}

    def _key(self, call: ToolCall) -> str:
        self.index(call.name)
        return self._keys[id(call)]


_Identifier = tuple[str, Any]


def _touched(arguments: Mapping[str, Any], result: Any) -> set[_Identifier]:
    """Identifiers in a call: texts with a digit or an @ wherever they are, whole numbers under the argument's name."""
    found: set[_Identifier] = set()
    for name, value in arguments.items():
        _gather(name, value, found)
    told = parsed(result)
    _gather("", result if told is None else told, found)
    return found


def parsed(result: Any) -> Any:
    """The object or array in a JSON text, as agents get it from their frameworks; None: no such text."""
    if not isinstance(result, str) or not result.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(result)
    except ValueError:
        return None


def _asked_about(arguments: Mapping[str, Any]) -> Iterable[_Identifier]:
    """`_touched` of a read. Values that are no identifiers may be among them: no write has them."""
    if _JSON.issuperset(map(type, arguments.values())):
        return [("" if type(value) is str else name, value) for name, value in arguments.items()]
    return _touched(arguments, None)


def _gather(name: str, value: Any, found: set[_Identifier]) -> None:
    if isinstance(value, str):
        if _IDENTIFYING.search(value):
            found.add(("", value))
    elif isinstance(value, int):
        if not isinstance(value, bool):
            found.add((name, value))
    elif isinstance(value, Mapping):
        for key, part in cast("Mapping[Any, Any]", value).items():
            _gather(str(key), part, found)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in cast("Iterable[Any]", value):
            _gather(name, part, found)


class Replay(msgspec.Struct, frozen=True):
    """The incumbent's recorded result; a call it did not make is passed on.

    A failed call fails again with the same error. A read is answered only where the same writes to what it is about
    came before it in both arms, so that the candidate sees neither the incumbent's later writes nor a world without
    its own. With `repeat_reads`, a read that the candidate repeats more often than the incumbent did gets the last
    recorded result again.
    """

    repeat_reads: bool = False

    def opened(self, record: Record) -> OpenReplay:
        """This policy over one query's record."""
        return OpenReplay(record, repeat_reads=self.repeat_reads)


class OpenReplay:
    """`Replay` for one query."""

    def __init__(self, record: Record, *, repeat_reads: bool = False) -> None:
        self._record, self._repeat_reads = record, repeat_reads

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The recorded result or error; None: the incumbent made no such call, or its result could not be copied."""
        call = self._record.find(request, again=self._repeat_reads and request.effect == "read")
        if call is None or call.answered == "refused" or uncopyable(call.result) is not None:
            return None
        if request.effect == "read" and not self._record.same_world(call, request):
            return None
        return StubAnswer(answered="replayed", result=_fresh(call.result), error=call.error)


def _fresh(value: Any) -> Any:
    """A copy, since the candidate may change what it gets."""
    return value if isinstance(value, str | int | float | bytes) or value is None else copy.deepcopy(value)
