"""What one run does, written down while it runs: hits, tool calls, steps, usage.

A recorder lives in a context variable, so that tasks and copied contexts of the run write into the same one. Writing
is appending a tuple to a list; what is mutable becomes bytes when its step ends. Everything is bounded.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, Literal, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import UNCOPYABLE, argument_data, carried, encode
from shadoweval.errors import TooLargeError, UncopyableError
from shadoweval.records import Answered, Effect, Hit, Step, ToolCall, Usage

__all__ = ["HitRow", "Parts", "Recorder", "active", "current"]

_Kind = Literal["model", "retrieval", "tool", "other"]
Call = tuple[str, Effect, bytes, float, float]
"""Name, effect, `argument_data`, start and end of a tool call."""
Told = tuple[str | None, Answered, tuple[int, int | None] | None]
"""Its error, how it was answered, and where its step stands; None: a step of its own."""
LIVE: Final[Told] = (None, "live", None)
_NO_USAGE: Final = (None, None, None)
_Raw: Final = msgspec.Raw
# Name and encoded ToolCall.
_Call = tuple[str, bytes]
# In the order of Hit's fields: id, rank, score, text.
HitRow = tuple[str, int, float | None, str | None]
StepRow = tuple[Any, ...]

_FLOAT: Final = b"\xcb"
_decode_calls: Final = msgspec.msgpack.Decoder(ToolCall).decode


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a recorder holds, as records; values inside are plain (see `codec.plain`)."""

    hits: tuple[Hit, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    steps: tuple[Step, ...] = ()
    usage: Usage = Usage()
    truncated: bool = False
    """Something was left out at a cap."""
    failed_step: str = ""
    """Name of the first step that failed."""


class Recorder:
    """Writes down what one run does.

    Args:
        max_bytes: Cap of all tool arguments and results together.
        max_items: Cap of the number of tool calls, hits and steps, each.
    """

    __slots__ = (
        "began",
        "calls",
        "fault",
        "first_chunk",
        "hit_lists",
        "indices",
        "left",
        "max_items",
        "seen",
        "steps",
        "tap",
        "truncated",
    )

    def __init__(self, max_bytes: int = 1 << 20, max_items: int = 1000) -> None:
        self.calls: list[_Call] = []
        self.hit_lists: list[list[HitRow]] = []
        self.steps: list[StepRow] = []
        self.seen: dict[str, list[bytes]] = {}
        self.indices = itertools.count()
        self.left = max_bytes
        self.max_items = max_items
        self.truncated = False
        self.fault: BaseException | None = None
        self.tap: Any = None
        self.first_chunk: float | None = None
        self.began = time.perf_counter()

    def add_step(self, kind: _Kind, name: str, *, started: float, duration: float, error: str | None = None) -> None:
        """A finished step; `started` as `time.perf_counter()` gave it."""
        if len(self.steps) < self.max_items:
            self.steps.append(
                (kind, name, started - self.began, duration, None, None, None, None, error, next(self.indices), None)
            )
        else:
            self.truncated = True

    def add_step_row(self, row: StepRow) -> None:
        """A finished step in the order of Step's fields, `started` since the run began."""
        if len(self.steps) < self.max_items:
            self.steps.append(row)
        else:
            self.truncated = True

    def add_call(
        self,
        name: str,
        arguments: Mapping[str, Any] | bytes,
        result: Any,
        *,
        started: float,
        duration: float,
        error: str | None = None,
        effect: Effect = "unknown",
        answered: Answered = "live",
        position: tuple[int, int | None] | None = None,
    ) -> None:
        """A finished tool call.

        `arguments` as a mapping, or as `argument_data` gave them before the call; `result` is any value; `position` is
        the index of its step and of the step above.
        """
        if type(arguments) is not bytes:
            arguments = argument_data(cast("Mapping[str, Any]", arguments))
        self.note((name, effect, arguments, started, started + duration), result, (error, answered, position))

    def note(self, call: Call, result: Any, told: Told = LIVE) -> None:
        """`add_call` without its keywords: the request path's way."""
        name, effect, arguments, started, ended = call
        error, answered, position = told
        if len(self.calls) >= self.max_items:
            self.truncated = True
            return
        if name in self.seen:
            before = self.seen[name]
            occurrence = 1 + _equal(before, arguments)
            before.append(arguments)
        else:
            self.seen[name] = [arguments]
            occurrence = 1
        since, duration = started - self.began, ended - started
        row = (name, _Raw(arguments), result, error, effect, answered, occurrence, since, duration)
        try:
            raw = encode(row) if carried(result) else b""
        except (OverflowError, UnicodeError, RecursionError):  # integers over 64 bits, lone surrogates, itself
            raw = b""
        if not 0 < len(raw) <= self.left:
            raw = self._encoded(row)
        self.left -= len(raw)
        self.calls.append((name, raw))
        index, parent = (next(self.indices), None) if position is None else position
        self.steps.append(("tool", name, since, duration, None, None, None, None, error, index, parent))

    def _encoded(self, row: tuple[Any, ...]) -> bytes:
        """A ToolCall whose result needs a closer look; one that can't be copied, or is over the cap, says so."""
        asked, result, told = row[:2], row[2], row[3:]
        left = max(self.left, 0)
        try:
            plain = codec.plain(result, max_bytes=left)
            raw = encode((*asked, plain, *told))
        except (UncopyableError, UnicodeError) as error:
            self.truncated |= isinstance(error, TooLargeError)
            raw = encode((*asked, {UNCOPYABLE: getattr(error, "why", str(error))}, *told))
        return raw

    def add_hits(self, rows: list[HitRow], *, replace: bool = False) -> None:
        """One retrieval's list; `replace`: it is the final one, such as a reranker's."""
        if len(rows) > self.max_items:
            self.truncated = True
            rows = rows[: self.max_items]
        if replace:
            self.hit_lists = [rows]
        else:
            self.hit_lists.append(rows)

    def hit_rows(self) -> list[HitRow]:
        """The hits of all retrievals: first occurrence of each document, ranks anew from 1."""
        lists = self.hit_lists
        if len(lists) == 1:
            return lists[0]
        merged: dict[str, HitRow] = {}
        for row in itertools.chain.from_iterable(lists):
            merged.setdefault(row[0], row)
        rows = itertools.islice(merged.values(), self.max_items)
        return [(row[0], rank, row[2], row[3]) for rank, row in enumerate(rows, 1)]

    def usage_row(self) -> tuple[int | None, int | None, float | None]:
        """Sums over the model calls: input tokens, output tokens, USD; None where no call told."""
        told = [row for row in self.steps if row[0] == "model" and row[4:7] != _NO_USAGE]
        if not told:
            return _NO_USAGE
        return (_total(told, 4), _total(told, 5), _total(told, 6))

    def failed_step(self) -> str:
        """Name of the first step that failed; empty where none did."""
        return next((row[1] for row in self.steps if row[8] is not None), "")

    def parts(self) -> Parts:
        """What was written down until now, as records."""
        tokens_in, tokens_out, cost = self.usage_row()
        return Parts(
            hits=tuple(Hit(id=row[0], rank=row[1], score=row[2], text=row[3]) for row in self.hit_rows()),
            tool_calls=tuple(_decode_calls(raw) for _, raw in self.calls),
            steps=tuple(msgspec.convert(row, Step) for row in self.steps),
            usage=Usage(input_tokens=tokens_in, output_tokens=tokens_out, cost_usd=cost),
            truncated=self.truncated,
            failed_step=self.failed_step(),
        )


def _total(rows: list[StepRow], field: int) -> Any:
    values = [row[field] for row in rows if row[field] is not None]
    return sum(values) if values else None


def _canonical(arguments: bytes) -> str:
    return codec.canonical(cast("Mapping[str, Any]", codec.thaw(arguments)))


def _equal(before: list[bytes], arguments: bytes) -> int:
    """How many of `before` are the same call, as `codec.canonical` compares.

    Keys are sorted, so bytes tell, but for a float, which may equal an integer.
    """
    if _FLOAT not in arguments and not any(_FLOAT in known for known in before):
        return before.count(arguments)
    return [_canonical(known) for known in before].count(_canonical(arguments))


current: Final[ContextVar[Recorder | None]] = ContextVar("shadoweval_recorder", default=None)


def active() -> Recorder | None:
    """The recorder of the run that this code belongs to."""
    return current.get()
