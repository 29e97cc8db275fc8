"""Answers from the incumbent's record, keyed by tool, canonical arguments and occurrence: never first in, first out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture import uncopyable
from shadoweval.errors import UncopyableError
from shadoweval.protocols import StubAnswer, ToolRequest
from shadoweval.records import ToolCall

__all__ = ["KeyedRequest", "Normal", "Record", "Replay", "call_key"]

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
    """The incumbent's tool calls of one query, indexed a tool at a time, when that tool is first asked for."""

    def __init__(self, calls: Iterable[ToolCall]) -> None:
        self._by_tool: dict[str, list[ToolCall]] = {}
        for call in calls:
            self._by_tool.setdefault(call.name, []).append(call)
        self._indexed: dict[str, dict[str, list[ToolCall]]] = {}

    def calls(self, tool: str) -> tuple[ToolCall, ...]:
        """All calls of the tool, in the order in which they ended."""
        return tuple(self._by_tool.get(tool, ()))

    def index(self, tool: str, *, normal: Normal | None = None) -> Mapping[str, list[ToolCall]]:
        """The tool's calls by key. `normal` is applied to the recorded arguments when the index is made."""
        found = self._indexed.get(tool)
        if found is None:
            found = self._indexed[tool] = {}
            for call in self._by_tool.get(tool, ()):
                key = call_key(normal(call.arguments) if normal else call.arguments)
                found.setdefault(key, []).append(call)
        return found

    def find(self, request: ToolRequest) -> ToolCall | None:
        """The call that the request repeats, or None."""
        key = request.key if isinstance(request, KeyedRequest) else call_key(request.arguments)
        same = self.index(request.name).get(key, ())
        return same[request.occurrence - 1] if request.occurrence <= len(same) else None


class Replay(msgspec.Struct, frozen=True):
    """The incumbent's recorded result; a call it did not make is passed on.

    A failed call fails again with the same error. With `repeat_reads`, a read that the candidate repeats more often
    than the incumbent did gets the last recorded result again, which is right where nothing else writes.
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
        call = self._record.find(request)
        if call is None and self._repeat_reads and request.effect == "read" and request.occurrence > 1:
            return self.answer(msgspec.structs.replace(request, occurrence=request.occurrence - 1))
        if call is None or call.answered == "refused" or uncopyable(call.result) is not None:
            return None
        return StubAnswer(answered="replayed", result=_fresh(call.result), error=call.error)


def _fresh(value: Any) -> Any:
    """A copy, since the candidate may change what it gets."""
    return value if isinstance(value, str | int | float | bytes) or value is None else copy.deepcopy(value)
