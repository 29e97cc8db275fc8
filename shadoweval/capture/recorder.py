"""What one run does, written down while it runs: hits, tool calls, steps, usage.

A recorder lives in a context variable, so that tasks and copied contexts of the run write into the same one. Writing is
appending a row; what is mutable becomes bytes when its step ends. What the entries mean together is worked out by
whoever reads them (`capture.wire.rows`). Everything is bounded.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from sys import modules
from typing import Any, Final, Literal, cast

import msgspec

from shadoweval.capture.copying import UNCOPYABLE, argument_data, encode, packed
from shadoweval.capture.documents import writable
from shadoweval.capture.interception import UNFINISHED, error_text, hands, installed
from shadoweval.capture.third_party import connections
from shadoweval.capture.wire.rows import (
    CALL,
    INDEX,
    StepRow,
    call_rows,
    failed_step,
    joined_hits,
    plain_step,
    step_rows,
    usage_fields,
    usage_row,
)
from shadoweval.errors import TooLargeError, UncopyableError
from shadoweval.records import Answered, Effect, Hit, Step, ToolCall, Usage

__all__ = ["MOST_ITEMS", "Parts", "Recorder", "carried", "current", "inside", "recording"]

MOST_ITEMS: Final = 1000

_numbering: Final = threading.Lock()

_Kind = Literal["model", "retrieval", "tool", "other"]


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
        max_bytes: Cap of all tool results together.
        max_items: Cap of the number of tool calls and steps together, and of hits.
        hit_id: The experiment's way to what a document is known by; None: see `documents`.

    Attributes:
        log: Entries (see `capture.wire.rows`).
        hits: Lists of hits, each row as `capture.wire.rows.joined_hits` reads it.
        numbers: Indexes given to steps that others lie in.
        left: Bytes that tool results may still have.
        truncated: Something was left out at a cap.
        fault: What a fault of ours raised while recording.
        closed: The run is over; what it started may go on.
        handler: Through which a library tells of this run (see `third_party`); None: none has told anything.
        requested: Tool calls that a model asked for, as its adapter keeps them; not set before there is one.
        streams: Tools and steps that yield, and have begun and not ended.
        under_way: By when they began, tool calls that have not ended: what has their name and effect, and arguments.
        retrieved: By when they began, what tool calls that have not ended retrieved (see `capture.retrieved`).
        first_chunk: Seconds until the first chunk.
        own: Seconds that recording itself took, within the run.
        began: `time.perf_counter()` at the beginning.
        number: Of the mirrored query's id in this process; 0: nothing is mirrored.
    """

    __slots__ = (
        "began", "closed", "fault", "first_chunk", "handler", "hit_id", "hits", "left", "log",
        "max_items", "number", "numbers", "own", "requested", "retrieved", "streams", "truncated", "under_way",
    )  # fmt: skip

    def __init__(self, max_bytes: int = 1 << 20, max_items: int = MOST_ITEMS, hit_id: Any = None) -> None:
        self.log: list[Sequence[Any]] = []
        self.hits: list[Sequence[Any]] = []
        self.numbers: itertools.count[int] | None = None
        self.left = max_bytes
        self.max_items = max_items
        self.truncated = self.closed = False
        self.fault: BaseException | None = None
        self.handler: Any = None
        self.hit_id: Any = hit_id
        self.streams: list[Any] | None = None
        self.under_way: dict[float, tuple[Any, bytes]] = {}
        self.retrieved: dict[float, list[tuple[float, str, bool, Sequence[Any]]]] = {}
        self.requested: Any
        self.first_chunk: float | None = None
        self.own = 0.0
        self.number = 0
        self.began = time.perf_counter()

    def spent(self, since: float) -> None:
        """Recording took until now, `since` as `time.perf_counter()` gave it; after the run it is no part of it."""
        if not self.closed:
            self.own += time.perf_counter() - since

    def tidy(self) -> None:
        """Something in it could not be encoded."""
        self.hits[:] = [writable(rows) for rows in self.hits]
        self.log[:] = writable(row if row[0] == CALL or len(row) <= INDEX else plain_step(row) for row in self.log)

    def next_index(self) -> int:
        """An index for a step that others will lie in."""
        with _numbering:  # two threads must not begin to count
            self.numbers = self.numbers or itertools.count()
        return next(self.numbers)

    def add_step(self, kind: _Kind, name: str, *, started: float, duration: float, error: str | None = None) -> None:
        """A finished step; `started` as `time.perf_counter()` gave it."""
        self.add_step_row((kind, name, started - self.began, duration, None, None, None, None, error, None, None))

    def add_step_row(self, row: StepRow) -> None:
        """A finished step in the order of Step's fields, `started` since the run began."""
        if len(self.log) < self.max_items:
            self.log.append(row)
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
        failed: str | None = None,
        beside: Mapping[str, Any] | None = None,
    ) -> None:
        """A finished tool call.

        `arguments` as a mapping, or as `argument_data` gave them before the call; `position` is the index of its step
        and of the step above; `failed` and `beside` as `ToolCall` has them.
        """
        if not isinstance(arguments, bytes):
            arguments = argument_data(arguments)
        elif type(arguments) is not bytes:  # `beside.Watched`
            beside = {**cast("Any", arguments).left_by(), **(beside or {})}
            arguments = bytes(arguments)
        if started in self.retrieved:
            from shadoweval.capture.retrieved import retrieved_by  # noqa: PLC0415 - with the first of them

            beside = {**(beside or {}), **retrieved_by(self.retrieved.pop(started), left=self.left)}
        index, parent = (None, None) if position is None else position
        raw = self.encoded(result)
        if raw is not None:
            outer = inside.get()
            rest = (started, started + duration, error, answered, index, parent)
            moments = hands()
            more = () if failed is None and outer is None and not moments else (failed, outer, moments)
            if beside:
                from shadoweval.capture.beside import written  # noqa: PLC0415 - seldom

                more = (failed, outer, moments, written(beside, self.left))
                self.left -= len(more[-1])
            self.log.append((CALL, name, effect, arguments, raw, *rest, *more))

    def encoded(self, result: Any) -> bytes | None:
        """A tool's result, encoded, as an entry of the log holds it; None: there is no room for another entry."""
        if len(self.log) >= self.max_items:
            self.truncated = True
            return None
        try:
            raw = packed(result, self.left)
        except (UncopyableError, UnicodeError) as error:  # it can't be copied, or is over the cap, and says so
            self.truncated |= isinstance(error, TooLargeError)
            raw = encode({UNCOPYABLE: getattr(error, "why", str(error))})
        self.left -= len(raw)
        return raw

    def close(self) -> None:
        """The run is over: streams that go on are noted with what they gave until now, calls without a result."""
        self.closed = True
        streams, self.streams = self.streams, None
        for stream in streams or ():
            stream.cut()
        under_way, self.under_way = self.under_way.copy(), {}
        for at, (tool, arguments) in under_way.items():
            took = time.perf_counter() - at
            self.add_call(tool.name, arguments, None, started=at, duration=took, error=UNFINISHED, effect=tool.effect)
        if self.handler is not None:
            self.handler.cut(self)

    def own_calls(self, since: int) -> list[tuple[int, str, bytes]]:
        """Calls of decorated tools that ended since the log had that length: position, name and arguments.

        What a library's handler tells of has the index of its step: it is no call of a decorated tool.
        """
        log = self.log
        later = ((at, log[at]) for at in range(since, len(log)) if log[at][0] == CALL)
        return [(at, row[1], row[3]) for at, row in later if len(row) <= INDEX or row[INDEX] is None]

    def add_hits(self, rows: Sequence[Any], *, name: str, replace: bool = False, call: float | None = None) -> None:
        """One retrieval's list; `replace`: the final one, as a reranker's; `call`: when the call around it began."""
        if len(rows) > self.max_items:
            self.truncated = True
            rows = rows[: self.max_items]
        call = inside.get() or call or (self.handler and self.handler.call_around(self))
        if call:
            self.retrieved.setdefault(call, []).append((time.perf_counter() - self.began, name, replace, rows))
        if replace:
            self.hits.clear()
        self.hits.append(rows)

    def add_failed_step(self, kind: _Kind, name: str, started: float, error: BaseException) -> None:  # noqa: PLR0917
        """A step that raised just now."""
        self.add_step(kind, name, started=started, duration=time.perf_counter() - started, error=error_text(error))

    @property
    def steps(self) -> list[StepRow]:
        """Steps and tool calls until now, in the order of Step's fields."""
        return step_rows(self.log, self.began)

    def usage_row(self) -> tuple[int | None, int | None, float | None]:
        """Sums over the model calls: input tokens, output tokens, USD; None where no call told."""
        return usage_row(self.steps)

    def parts(self) -> Parts:
        """What was written down until now, as records."""
        if not self.log and not self.hits and not self.truncated:
            return _NOTHING
        steps = self.steps
        hits = joined_hits(self.hits, self.max_items)
        return Parts(
            hits=tuple(Hit(id=row[0], rank=row[1], score=row[2], text=row[3]) for row in hits),
            tool_calls=self._calls(),
            steps=tuple(msgspec.convert(row, Step) for row in steps),
            usage=msgspec.convert(usage_fields(steps), Usage),
            truncated=self.truncated,
            failed_step=failed_step(steps),
        )

    def _calls(self) -> tuple[ToolCall, ...]:
        try:
            return _decode_calls(encode(call_rows(self.log, self.began)))
        except UnicodeError:  # in a tool's name, as a model writes it
            self.tidy()
            return _decode_calls(encode(call_rows(self.log, self.began)))


_NOTHING: Final = Parts()
_decode_calls: Final = msgspec.msgpack.Decoder(tuple[ToolCall, ...]).decode

current: Final[ContextVar[Recorder | None]] = ContextVar("shadoweval_recorder", default=None)
inside: Final[ContextVar[float | None]] = ContextVar("shadoweval_inside", default=None)
"""When the call of a tool began that this code belongs to; None: to none."""
carried: Final[list[ContextVar[Any]]] = [current, inside]
"""Variables that belong to a run, in whichever thread its work goes on."""


class _Recording:
    """A class, since a context manager made of a generator costs as much as a short run."""

    __slots__ = ("_recorder", "_token")

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def __enter__(self) -> Recorder:
        if connections.modules != len(modules):
            connections.connect()
        installed.watching += 1
        self._token: Token[Recorder | None] = current.set(self._recorder)
        return self._recorder

    def __exit__(self, *_: object) -> None:
        installed.watching -= 1
        current.reset(self._token)


def recording(recorder: Recorder) -> _Recording:
    """A context; what it does is recorded into `recorder`, by libraries that tell of themselves too."""
    return _Recording(recorder)
