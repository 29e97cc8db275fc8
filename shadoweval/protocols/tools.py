"""Who answers the tools of a candidate: policies, and worlds of one's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec

from shadoweval.records import Answered, Effect, Envelope, ToolCall

__all__ = ["OpenWorld", "Recorded", "StubAnswer", "StubPolicy", "ToolRequest", "World"]


class ToolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's call of a tool, before it is answered."""

    name: str
    arguments: dict[str, Any]
    effect: Effect
    occurrence: int
    """How many times the candidate has made this call (tool and canonical arguments), this one included."""
    live: Callable[[], Any] | None = None
    """Runs the tool for real; None where that is impossible."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the tool's output where it declares one."""


class StubAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool call was answered. With `error` the candidate sees a failing tool."""

    answered: Answered
    result: Any = None
    error: str | None = None
    beside: Mapping[str, Any] = {}
    """What the recorded call left beside them (`records.ToolCall.beside`), rebuilt."""


class StubPolicy(Protocol):
    """Answers a candidate's tool call, or passes it on to the next policy."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The answer, or None: this policy has none."""
        ...


class Recorded(Protocol):
    """What the incumbent did for the query that a world is opened for."""

    def calls(self, tool: str) -> tuple[ToolCall, ...]:
        """All its calls of the tool, in the order in which they ended."""
        ...

    def find(self, request: ToolRequest) -> ToolCall | None:
        """The call that a request repeats; None: the incumbent made no such call."""
        ...

    def in_step(self, request: ToolRequest) -> bool:
        """Whether it repeats one, and just the same was written before it in both arms: its result is the truth."""
        ...


@runtime_checkable
class World(Protocol):
    """Makes a throw-away copy of a part of the world for each query. It travels to the candidate's process as bytes.

    Derive from it, and from `OpenWorld`; `tests/contracts/test_world.py` is what every world keeps to.
    """

    exclusive: bool = False
    """Whether a process can hold only one such world at a time, because it changes something of the whole process."""

    def opened(self, record: Recorded, *, envelope: Envelope, scratch: Path) -> OpenWorld:
        """The copy for one query, as the world was when the query was asked (`envelope.query.asked_at`).

        Called inside the guard, so that it may read what a candidate may read; what it writes goes into `scratch`.
        What it raises ends the run, and is counted against nobody but the shadow.
        """
        ...


class OpenWorld(Protocol):
    """A world during one query; what has a body a subclass need not say. Calls may come from several threads."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The answer out of this world; None: it knows nothing of this call."""
        ...

    def precedes(self, request: ToolRequest) -> bool:
        """Whether `answer` comes before the incumbent's record, since the candidate has changed what it asks for."""
        ...

    def observe_write(self, request: ToolRequest, answer: StubAnswer) -> None:
        """Called for every write, whoever answered it."""

    def entity(self, request: ToolRequest) -> str:  # noqa: ARG002 - for those that can say
        """What the write touched; empty where the world can't say."""
        return ""

    def changes(self) -> Mapping[str, Any] | None:
        """What the run has changed, as plain data by table, entity or part; None: it can't say. Before `close`."""
        return None

    def close(self) -> None:
        """The query is over: throw everything away."""
        ...
