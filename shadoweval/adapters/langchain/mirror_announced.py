"""What methods were given whose runs are seen through callbacks: `batch`, `transform`, `astream_events`.

langchain_core tells a handler of a run's input and metadata, not of its config; so a method of ours announces its call
in the context in which its runs begin.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Final

from shadoweval.adapters.langchain.mirror_keywords import Given
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import alone

__all__ = ["ContextState", "Invocation", "announce", "announced", "batch", "retract"]


class ContextState:
    """What a context holds of ours, to be put back."""

    __slots__ = ("control", "recorder")

    def __init__(self) -> None:
        self.recorder, self.control = current.get(), alone.get()

    def restore(self) -> None:
        """Make it so again."""
        if current.get() is not self.recorder:
            current.set(self.recorder)
        if alone.get() is not self.control:
            alone.set(self.control)


class Invocation:
    """A call of an entry method that gives a stream, seen through callbacks: the next run in this context is its run.

    Args:
        handler: The runnable's `MirrorHandler`; None: it has none.
        inputs: What the method was called with.
        given: Its config and its other keywords.
        piecewise: The inputs may be the first chunk of several, and what comes out are chunks of the answer.
    """

    __slots__ = ("_outer", "_token", "closing", "count", "given", "handler", "inputs", "piecewise", "run")

    def __init__(self, handler: Any, inputs: Any, given: Given, *, piecewise: bool = False) -> None:
        self.handler, self.inputs, self.given, self.piecewise = handler, inputs, given, piecewise
        self.run: Any = None
        self.count = 0
        self.closing = False
        self._outer = ContextState()
        self._token: Token[Invocation | None] | None = None

    def relay(self, chunks: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """The chunks of its stream; between them its consumer's context is the consumer's."""
        self._enter()
        try:
            for chunk in chunks:
                inside = self._suspend()
                try:
                    yield chunk
                finally:
                    self._outer = ContextState()
                inside.restore()
        except GeneratorExit:
            self.closing = True
            raise
        finally:
            chunks.close()
            self._leave()

    async def arelay(self, chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """As `relay`."""
        self._enter()
        try:
            async for chunk in chunks:
                inside = self._suspend()
                try:
                    yield chunk
                finally:
                    self._outer = ContextState()
                inside.restore()
        except GeneratorExit:
            self.closing = True
            raise
        finally:
            await chunks.aclose()
            self._leave()

    def _enter(self) -> None:
        self._outer = ContextState()
        self._token = announced.set(self)

    def _leave(self) -> None:
        self._settle()
        self._outer.restore()

    def _settle(self) -> None:
        """No run of it starts here any more."""
        if self._token is not None:
            with suppress(ValueError):  # whoever drives the stream changed contexts
                announced.reset(self._token)
            self._token = None

    def _suspend(self) -> ContextState:
        """A chunk goes to the consumer, whose context is put back; gives the stream's."""
        self._settle()
        if self.piecewise and self.run is not None:
            self.count += 1
            if self.count == 1:
                self.run.first_chunk()
        inside = ContextState()
        self._outer.restore()
        return inside


announced: Final[ContextVar[Invocation | None]] = ContextVar("shadoweval_invocation", default=None)
batch: Final[ContextVar[tuple[Any, Sequence[Any], Given] | None]] = ContextVar("shadowevalbatch", default=None)
"""Whose batch runs in this context, with its inputs and what else it was called with."""


def announce(handler: Any, inputs: Sequence[Any], given: Given) -> Token[Any]:
    """A batch of a runnable begins, whose runs the handler is about to see."""
    return batch.set((handler, inputs, given))


def retract(token: Token[Any]) -> None:
    """It is over."""
    batch.reset(token)
