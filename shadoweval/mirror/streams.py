"""Generators and async generators, mirrored; how they are passed on see `capture.delegation`.

Our context variable is set only while the incumbent runs, never across a `yield`.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from shadoweval.capture import delegation
from shadoweval.capture.outcomes import Chunks
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call
from shadoweval.mirror.plan import Site

__all__ = ["over_async_generator", "over_generator"]


class _Watch:
    """One stream under way; without a call it watches nothing."""

    __slots__ = ("call", "chunks", "closing")

    def __init__(self, call: Call | None) -> None:
        self.call = call
        self.chunks = Chunks(0 if call is None else call.site.plan.max_bytes)
        self.closing = False

    def resumed(self) -> None:
        """The incumbent runs."""
        if self.call is not None:
            self.call.enter()

    def yielded(self, chunk: Any) -> None:
        """It gave a chunk, and waits."""
        self.closing = False
        call = self.call
        if call is None:
            return
        call.leave()
        recorder = call.recorder
        if recorder is None or call.over:
            return
        if recorder.first_chunk is None:
            recorder.first_chunk = perf_counter() - recorder.began
        if type(chunk) is str and len(chunk) <= self.chunks.left:  # kept as it is, in no time
            self.chunks.add(chunk)
            return
        since = perf_counter()
        with call.at("outcome"):
            self.chunks.add(chunk)
        recorder.spent(since)

    def interrupted(self, error: BaseException) -> None:
        """The consumer threw something in; GeneratorExit says that it goes away."""
        self.closing = isinstance(error, GeneratorExit)

    def returned(self, _value: Any) -> None:
        """The incumbent's stream ended, by itself or because its consumer went away."""
        if self.call is None:
            return
        if self.closing:
            self.call.raised(GeneratorExit())
        else:
            self.call.streamed(self.chunks)

    def raised(self, error: BaseException) -> None:
        """It raised, or was cancelled."""
        if self.call is not None:
            self.call.raised(error)


def over_generator(site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
    """A generator function, mirrored."""
    return delegation.over_generator(function, lambda args, kwargs: _Watch(begin(site, args, kwargs)))


def over_async_generator(site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
    """An async generator function, mirrored."""
    return delegation.over_async_generator(function, lambda args, kwargs: _Watch(begin(site, args, kwargs)))
