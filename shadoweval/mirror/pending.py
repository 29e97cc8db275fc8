"""What was returned and is not consumed yet: its parts, and the call that ends with the last of them."""

from __future__ import annotations

from contextvars import Token
from time import perf_counter
from typing import Any

from shadoweval.capture.chunks import WholeValue
from shadoweval.capture.deferred import Part, parts_of, substituted, unwatchable
from shadoweval.capture.outcomes import Chunks
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import Call, alone
from shadoweval.mirror.finish import finish

__all__ = ["Done", "Pending", "ResponseWatch", "Slot", "Watch"]


class Slot:
    """Stands for a part in the copy of a value that is kept until all is consumed."""

    __slots__ = ()


class Pending:
    """One returned value with parts that are still to be consumed. Holds none of them, so that what is dropped goes."""

    def __init__(self, call: Call, value: Any, parts: list[Part], *, at: float) -> None:
        self.call, self.at = call, at
        self.slots = {id(part.value): Slot() for part in parts}
        self.only = parts[0].value is value
        """Whether the value itself is what is consumed."""
        self.template = substituted(value, self.slots, fresh=True)
        self.results: dict[int, Any] = {}
        self.count: int | None = None
        self.truncated = False

    def ended(self, slot: Slot, result: Any, *, count: int | None = None) -> None:
        """One part was consumed to its end, and gave this."""
        self.results[id(slot)] = result
        if count is not None:
            self.count = count + (self.count or 0)
        if len(self.results) < len(self.slots) or self.call.done:
            return
        at = self.at or perf_counter()
        if self.only and count is None:
            _over(self.call, result, at)
            return
        call = self.call
        with call.at("outcome"):
            plan = call.site.plan
            value = substituted(self.template, self.results, fresh=True)
            whole = WholeValue(value, self.count, max_bytes=plan.max_bytes, read=plan.outcome is None)
            whole.truncated = self.truncated
            finish(call, chunks=whole, at=at)
        if not call.done:  # it could not be put together, and is counted
            call.given_up(at)

    def answered(self, slot: Slot, record: Any) -> None:
        """A response whose body is there already is the part."""
        if record.failure is not None:
            self.failed(record.failure)
        else:
            self.ended(slot, record.data())

    def failed(self, error: BaseException) -> None:
        """A part raised, or its consumer went away."""
        if not self.call.done:
            finish(self.call, error=error)


def _over(call: Call, value: Any, at: float) -> None:
    """It gave a value that is no stream; what that would have to come nobody could watch any more."""
    with call.at("snapshot"):
        for part in parts_of(value):
            raise unwatchable(part.value)
    finish(call, value, at=at)


class Watch:
    """A stream among the parts, as `delegation.Watch` wants it."""

    __slots__ = ("chunks", "closing", "over", "slot", "token", "whole")

    def __init__(self, whole: Pending, slot: Slot) -> None:
        self.whole, self.slot = whole, slot
        self.chunks = Chunks(0 if whole.call.recorder is None else whole.call.site.plan.max_bytes)
        self.closing = self.over = False
        self.token: Token[Any] | None = None

    def resumed(self) -> None:
        """The incumbent runs."""
        call = self.whole.call
        if not call.done:
            self.token = alone.set(call) if call.recorder is None else current.set(call.recorder)

    def left(self) -> None:
        """It waits, or is over."""
        token, self.token = self.token, None
        try:
            if token is not None:
                token.var.reset(token)
        except ValueError:  # as in `Call.leave`
            pass

    def yielded(self, chunk: Any) -> None:
        """It gave a chunk, and waits."""
        self.left()
        self.closing = False
        recorder = self.whole.call.recorder
        if recorder is None or self.over or self.whole.call.over:
            return
        since = perf_counter()
        with self.whole.call.at("outcome"):
            if recorder.first_chunk is None:
                recorder.first_chunk = since - recorder.began
            self.add(chunk)
        recorder.spent(since)

    def add(self, chunk: Any) -> None:
        """Keep a chunk."""
        self.chunks.add(chunk)

    def interrupted(self, error: BaseException) -> None:
        """The consumer threw something in; GeneratorExit says that it goes away."""
        self.closing = isinstance(error, GeneratorExit)

    def returned(self, _value: Any) -> None:
        """The stream ended, by itself or because its consumer went away."""
        if self.closing:
            self.raised(GeneratorExit())
        elif not self.over:
            self.left()
            self.over = True
            self.end()

    def end(self) -> None:
        """Tell what it gave."""
        whole, chunks = self.whole, self.chunks
        if whole.only:
            if not whole.call.done:
                finish(whole.call, chunks=chunks)
            return
        since = perf_counter()
        whole.truncated |= chunks.truncated
        answer, value = chunks.joined()
        data = answer if value is None else chunks.data()
        whole.call.spent(since)
        whole.ended(self.slot, data, count=chunks.count)

    def raised(self, error: BaseException) -> None:
        """It raised, or was cancelled."""
        self.left()
        if not self.over:
            self.over = True
            self.whole.failed(error)

    def __del__(self) -> None:
        """Nobody consumes it any more."""
        if not self.over:
            self.raised(GeneratorExit())


class ResponseWatch(Watch):
    """The stream that is a response's body."""

    __slots__ = ("events", "record")

    def __init__(self, whole: Pending, slot: Slot, record: Any, *, events: bool) -> None:
        super().__init__(whole, slot)
        self.record, self.events = record, events

    def add(self, chunk: Any) -> None:
        """Keep a chunk."""
        from shadoweval.capture.framework_responses import add_chunk  # noqa: PLC0415 - with the first response

        add_chunk(self.record, chunk, events=self.events)

    def end(self) -> None:
        """Tell what the response says."""
        record, whole = self.record, self.whole
        if record.failure is not None:
            whole.failed(record.failure)
            return
        since = perf_counter()
        whole.truncated |= record.truncated
        data = record.data()
        whole.call.spent(since)
        whole.ended(self.slot, data, count=record.chunks or 0)


class Done:
    """Is called when a future is done; one that is dropped before ends with its callbacks."""

    def __init__(self, whole: Pending, slot: Slot) -> None:
        self.whole, self.slot, self.over = whole, slot, False

    def __call__(self, future: Any) -> None:
        """It is done."""
        with self.whole.call.at("outcome"):
            # asyncio's `exception()` would note that somebody looked, and nobody were told of one never retrieved.
            error = _cancellation() if future.cancelled() else future._exception  # noqa: SLF001 - of both kinds alike
            if error is not None:
                self.whole.failed(error)
            else:
                self.whole.ended(self.slot, future._result)  # noqa: SLF001 - as above
            self.over = True
        if not self.over:  # it could not be read, and is counted
            self.over = True
            self.whole.call.given_up()

    def __del__(self) -> None:
        if not self.over:
            self.whole.failed(GeneratorExit())


def _cancellation() -> BaseException:
    import asyncio  # noqa: PLC0415 - not loaded by what has no futures

    return asyncio.CancelledError()
