"""Answers from the incumbent's record, keyed by tool, canonical arguments and occurrence: never first in, first out."""

from __future__ import annotations

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shadoweval import codec
from shadoweval.capture import uncopyable
from shadoweval.capture.copying import packed
from shadoweval.capture.identity import Identifier, call_key, chosen, given_out, identifiers, touched, whole_words
from shadoweval.capture.interception import UNFINISHED
from shadoweval.checks import checked_keywords, checked_truth
from shadoweval.protocols import StubAnswer, ToolRequest
from shadoweval.records import Answered, Effect, ToolCall

__all__ = ["KeyedRequest", "Normal", "Record", "Replay", "with_result"]

_log: Final = logging.getLogger(__name__)
_PATIENCE: Final = 1.0
"""Seconds that a call goes on beyond twice the time after which the incumbent no longer waited for it."""
_JSON: Final = frozenset({str, int, float, bool, type(None)})

Normal = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Arguments as the tool itself would see them: validated, with its defaults, without what it ignores."""


class KeyedRequest(ToolRequest, frozen=True, kw_only=True):
    """A request with what all policies of a run share."""

    key: str = ""
    """What it is replayed by, see `call_key`."""
    record: Record | None = None
    """The incumbent's calls of the same query."""


class Record:
    """The incumbent's tool calls of one query, indexed a tool at a time, when that tool is first asked for.

    Args:
        calls: In the order in which they ended.
        effects: Tool -> effect, where the experiment says so.
        compare: Tool -> the arguments that a call is known by, where not by all.
    """

    def __init__(
        self,
        calls: Iterable[ToolCall],
        *,
        effects: Mapping[str, Effect] | None = None,
        compare: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._compare = compare or {}
        declared = effects or {}
        self._by_tool: dict[str, list[ToolCall]] = {}
        self._written: list[tuple[int, ToolCall]] = []
        """The incumbent's writes, with their positions among all calls."""
        self._calls = tuple(map(_with_data, calls))
        self._inner: dict[int, list[ToolCall]] = {}
        """By the position of a call, those that its tool made, in the order in which they ended."""
        for position, call in enumerate(self._calls):
            self._by_tool.setdefault(call.name, []).append(call)
            if call.within is not None:
                self._inner.setdefault(call.within, []).append(call)
            if declared.get(call.name, call.effect) != "read" and call.succeeded:
                self._written.append((position, call))
        self._indexed: dict[str, dict[str, list[ToolCall]]] = {}
        self._keys: dict[int, str] = {}
        self._mine: dict[Identifier, list[tuple[int, tuple[str, str]]]] = {}
        """The candidate's writes, numbered, as tool and key, by what they are about."""
        self._writes = itertools.count(1)
        self._own: Counter[tuple[str, str]] = Counter()
        """All of the candidate's writes."""
        self._marks: set[tuple[str, str]] = set()
        """Live reads, by tool and arguments, that showed the incumbent's writes."""
        self.made_up = itertools.count(1)
        """Numbers for identifiers that `Simulate` makes up, different from call to call."""

    def calls(self, tool: str) -> tuple[ToolCall, ...]:
        """All calls of the tool, in the order in which they ended."""
        return tuple(self._by_tool.get(tool, ()))

    def index(self, tool: str, *, normal: Normal | None = None) -> Mapping[str, list[ToolCall]]:
        """The tool's calls by key. `normal` is applied to the recorded arguments when the index is made."""
        index = self._indexed.get(tool)
        if index is None:
            index = {}
            for call in self._by_tool.get(tool, ()):
                key = self._keys[id(call)] = self.key(tool, normal(call.arguments) if normal else call.arguments)
                index.setdefault(key, []).append(call)
            self._indexed[tool] = index  # whole at once: tools are called from pools of threads
        return index

    def key(self, tool: str, arguments: Mapping[str, Any]) -> str:
        """What a call is known by."""
        return call_key(chosen(arguments, self._compare.get(tool)))

    def find(self, request: ToolRequest, *, again: bool = False) -> ToolCall | None:
        """The call that the request repeats, or None. `again`: the last one also for further repetitions."""
        key = request.key if isinstance(request, KeyedRequest) else self.key(request.name, request.arguments)
        same = self.index(request.name).get(key, ())
        if again and same:
            return same[min(request.occurrence, len(same)) - 1]
        return same[request.occurrence - 1] if request.occurrence <= len(same) else None

    def inner(self, request: ToolRequest, *, again: bool = False) -> Sequence[ToolCall]:
        """The calls that the tool itself made in the call which the request repeats, theirs before them."""
        call = self.find(request, again=again) if self._inner else None
        return [] if call is None else list(self._within(self._positions[id(call)]))

    def _within(self, position: int) -> Iterator[ToolCall]:
        for call in self._inner.get(position, ()):
            if self._positions[id(call)] < position:
                yield from self._within(self._positions[id(call)])
                yield call

    def wrote(self, request: KeyedRequest, result: Any) -> None:
        """The candidate has written, as far as it can see."""
        number = next(self._writes)
        self._own[request.name, request.key] += 1
        for identifier in touched(request.arguments, result):
            self._mine.setdefault(identifier, []).append((number, (request.name, request.key)))

    def same_world(self, call: ToolCall, request: ToolRequest) -> bool:
        """Whether a recorded call met what the candidate's would meet: the same writes to what it is about came before.

        What the incumbent wrote while the call was under way may have come before it or after.
        A write is about what a read is about where they share an identifier, see `touched`.
        """
        if not self._written and not self._mine:
            return True
        theirs, mine = self._theirs, self._mine
        about = [key for key in identifiers(request.arguments) if key in theirs or key in mine]
        if not about:
            return True
        written = {position: other for key in about for position, other in theirs.get(key, ())}
        own = {number: written for key in about for number, written in mine.get(key, ())}
        return self._between(call, written, Counter(own.values()))

    def _between(self, call: ToolCall, written: Mapping[int, ToolCall], own: Counter[tuple[str, str]]) -> bool:
        """Whether the candidate's writes are those that ended before the call, and perhaps some beside it."""
        here = self._positions[id(call)]
        before, beside = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
        for position, other in written.items():
            if other is not call and other.at_once(call):
                beside[other.name, self.known_by(other)] += 1
            elif position < here:
                before[other.name, self.known_by(other)] += 1
        return before <= own <= before + beside

    def in_step(self, request: ToolRequest) -> bool:
        """Whether it repeats a call, and just the same was written before in both arms, so that its result is true.

        A read that names nothing (`list_open()`) may be about everything that was written.
        """
        call = self.find(request)
        if call is None or not self.same_world(call, request):
            return False
        if request.effect != "read" or touched(request.arguments, None):
            return True
        return self._between(call, dict(self._written), self._own)

    @property
    def wrote_anything(self) -> bool:
        """Whether the incumbent wrote for this query."""
        return bool(self._written)

    def altered(self, request: ToolRequest, result: Any = None) -> bool:
        """Whether a read of now shows what the incumbent wrote and the candidate did not.

        It does where it is about what was written (see `touched`), or where its result names an argument of the write,
        or an identifier that the write gave out.
        """
        asked = set(identifiers(request.arguments))
        text = str(result)
        about = [
            key
            for key in self._theirs
            if key in asked or (key in self._named and (inside := whole_words([key[1]])) and inside.search(text))
        ]
        theirs = {position: call for key in about for position, call in self._theirs[key]}
        own = {number: written for key in about for number, written in self._mine.get(key, ())}
        return Counter((call.name, self.known_by(call)) for call in theirs.values()) != Counter(own.values())

    def mark(self, request: ToolRequest) -> None:
        """A live read showed the incumbent's writes."""
        self._marks.add((request.name, call_key(request.arguments)))

    def marked(self, call: ToolCall) -> bool:
        """Whether it is such a read."""
        return bool(self._marks) and (call.name, call_key(call.arguments)) in self._marks

    @functools.cached_property
    def _named(self) -> set[Identifier]:
        """Texts by which results tell of the incumbent's writes; dates and amounts in their results are none."""
        return {
            (name, value)
            for _, call in self._written
            for name, value in (*touched(call.arguments, None), *given_out(codec.data_of(call.result)))
            if not name
        }

    @functools.cached_property
    def _theirs(self) -> dict[Identifier, list[tuple[int, ToolCall]]]:
        """The incumbent's writes by what they are about."""
        writes: dict[Identifier, list[tuple[int, ToolCall]]] = {}
        for position, call in self._written:
            for identifier in touched(call.arguments, call.result):
                writes.setdefault(identifier, []).append((position, call))
        return writes

    @functools.cached_property
    def _positions(self) -> dict[int, int]:
        return {id(call): position for position, call in enumerate(self._calls)}

    def known_by(self, call: ToolCall) -> str:
        """The key of one of the recorded calls."""
        self.index(call.name)
        return self._keys[id(call)]


def _with_data(call: ToolCall) -> ToolCall:
    """The call with arguments to compare by; its result stays encoded until it is replayed."""
    if _JSON.issuperset(map(type, call.arguments.values())):
        return call
    return msgspec.structs.replace(call, arguments=codec.data_of(call.arguments))


@checked_keywords()
@dataclass(frozen=True, slots=True)
class Replay:
    """The incumbent's recorded result; a call it did not make is passed on.

    The result is equal to the recorded one, of the same class: it is rebuilt, as `pickle` would, in the process that
    contains the candidate. A failed call fails again with the same error. A call is answered only where the same writes
    to what it is about came before it in both arms, so that the candidate sees neither the incumbent's later writes nor
    a world without its own, and gets no result of a write that came to a world that was another. With `repeat_reads`, a
    read that the candidate repeats more often than the incumbent did gets the last recorded result again.
    """

    repeat_reads: bool = False

    def __post_init__(self) -> None:
        checked_truth("Replay", self.repeat_reads)

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The recorded result or error; None: the incumbent made no such call, or its result can't be rebuilt."""
        record = request.record if isinstance(request, KeyedRequest) else None
        if record is None:
            return None
        call = record.find(request, again=self.repeat_reads and request.effect == "read")
        if call is None or call.answered == "refused":
            return None
        if not record.same_world(call, request):
            return None
        if call.error == UNFINISHED:
            return StubAnswer(answered="replayed", result=2 * call.duration + _PATIENCE, error=UNFINISHED)
        again = with_result(call)
        if again is None:
            return None
        answered: Answered = "simulated" if "missing" in again.beside else "replayed"
        return StubAnswer(answered=answered, result=again.result, error=again.error, beside=again.beside)


def with_result(call: ToolCall) -> ToolCall | None:
    """The call with what the tool returned or raised, anew each time, since the candidate may change it.

    None: it can't be had; of an exception its text says enough.

    Here a class is imported by the name that the record gives it: only the guarded child may do so.
    """
    again = _with_result(call)
    if again is None or not call.beside:
        return again
    from shadoweval.capture.beside import rebuilt  # noqa: PLC0415 - in shadows only

    return msgspec.structs.replace(again, beside=rebuilt(call.beside))


def _with_result(call: ToolCall) -> ToolCall | None:
    result = call.result
    if result is None or isinstance(result, str | int | float | bytes):
        return call
    textual = None if call.error is None else msgspec.structs.replace(call, result=None)
    if uncopyable(result) is not None:
        return textual
    try:
        return msgspec.structs.replace(call, result=codec.thaw(packed(result, codec.MAX_BYTES)))
    except Exception as error:  # noqa: BLE001 - the code of a class of the tool's, or its module is not there
        _log.warning(
            "a recorded result can't be rebuilt", extra={"tool": call.name, "error_type": type(error).__name__}
        )
        return textual
