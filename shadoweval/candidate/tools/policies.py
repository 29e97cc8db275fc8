"""Policies that need no record: a function of yours, the tool itself for reads, refusal; and what a world is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from shadoweval.candidate.tools.replay import Record, Replay
from shadoweval.candidate.tools.simulated import Simulate
from shadoweval.protocols import StubAnswer, StubPolicy, ToolRequest
from shadoweval.records import Envelope

__all__ = ["Function", "Live", "OpenWorld", "Policy", "Refuse", "World"]


class OpenWorld(Protocol):
    """A world during one query."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The answer out of this world; None: it knows nothing of this call."""
        ...

    def precedes(self, request: ToolRequest) -> bool:
        """Whether `answer` comes before the incumbent's record, since the candidate has changed what it asks for."""
        ...

    def noted(self, request: ToolRequest, answer: StubAnswer) -> None:
        """Told of every write, whoever answered it."""
        ...

    def entity(self, request: ToolRequest) -> str:
        """What the write touched; empty where the world can't say."""
        ...

    def close(self) -> None:
        """The query is over: throw everything away."""
        ...


class World(Protocol):
    """Makes a throw-away copy of a part of the world for each query."""

    @property
    def exclusive(self) -> bool:
        """Whether a process can hold only one such world at a time."""
        ...

    def opened(self, record: Record, *, envelope: Envelope, scratch: Path) -> OpenWorld:
        """The copy for one query."""
        ...


class Function(msgspec.Struct, frozen=True):
    """Your stand-in for a tool: called with the tool's arguments; what it raises, the candidate sees as a failure."""

    function: Callable[..., Any]

    def answer(self, request: ToolRequest) -> StubAnswer:
        """What the function returns."""
        try:
            return StubAnswer(answered="stubbed", result=self.function(**request.arguments))
        except Exception as error:  # noqa: BLE001 - a stand-in may fail in every way in which the tool may
            return StubAnswer(answered="stubbed", error=f"{type(error).__name__}: {error}")


class Live(msgspec.Struct, frozen=True):
    """The tool itself, for declared reads only. A write is never run, whatever this says."""

    tools: tuple[str, ...] | None = None
    """Names of the tools that may run; None: every declared read."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The real result; None: not a read, or not allowed."""
        if request.effect != "read" or request.live is None:
            return None
        if self.tools is not None and request.name not in self.tools:
            return None
        return StubAnswer(answered="live", result=request.live())


class Refuse(msgspec.Struct, frozen=True):
    """Nothing answers: the candidate sees a refused tool."""

    def answer(self, request: ToolRequest) -> StubAnswer:
        """A refusal."""
        return StubAnswer(answered="refused", error=f"{request.name!r} is refused in a shadow")


Policy = StubPolicy | Replay | Simulate | Callable[..., Any]
"""What may stand in a tool's order."""
