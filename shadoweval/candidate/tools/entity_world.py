"""A throw-away world of entities for each query: the candidate reads what it wrote, nobody else does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final, cast

from shadoweval.candidate.tools.instance_world import made_for
from shadoweval.candidate.tools.replay import KeyedRequest, with_result
from shadoweval.checks import checked_function, checked_keywords, checked_mapping
from shadoweval.protocols import OpenWorld, Recorded, StubAnswer, ToolRequest, World
from shadoweval.records import Envelope

__all__ = ["EntityWorld"]

_SEPARATOR: Final = "/"
_GONE: Final = object()


class OverlayMapping(MutableMapping[Hashable, Any]):
    """Copy on write by entity: memory grows with what is written, the base is never changed.

    Values of the base are handed out as they are: replace them, don't change them in place.
    """

    def __init__(self, base: Mapping[Any, Any] | None = None) -> None:
        self.base: Mapping[Any, Any] = {} if base is None else base
        self.changes: dict[Hashable, Any] = {}
        """What was written or deleted here."""
        self.read: set[Hashable] = set()
        """Keys that were asked for, also those that are not there."""

    @property
    def written(self) -> frozenset[Hashable]:
        """Keys that were written or deleted."""
        return frozenset(self.changes)

    def __getitem__(self, key: Hashable) -> Any:
        self.read.add(key)
        value = self.changes[key] if key in self.changes else self.base[key]
        if value is _GONE:
            raise KeyError(key)
        return value

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self.changes[key] = value

    def __delitem__(self, key: Hashable) -> None:
        if key not in self:
            raise KeyError(key)
        self.changes[key] = _GONE

    def __contains__(self, key: object) -> bool:
        if isinstance(key, Hashable):
            self.read.add(key)
        return self.changes[key] is not _GONE if key in self.changes else key in self.base

    def __iter__(self) -> Iterator[Hashable]:
        # Whoever lists everything has read whatever was written.
        self.read.update(self.changes)
        yield from (key for key, value in self.changes.items() if value is not _GONE)
        yield from (key for key in self.base if key not in self.changes)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def commit(self) -> None:
        """Move what was written into the base, which must be an overlay too."""
        if not isinstance(self.base, OverlayMapping):
            raise TypeError("only an overlay over an overlay can be committed")
        self.base.changes.update(self.changes)
        self.changes.clear()


class WorldState(OverlayMapping):
    """What an EntityWorld's functions get: entities by key, the incumbent's result, and identifiers nobody has."""

    def __init__(self, base: Mapping[Any, Any] | None = None, *, recorded: Any = None, numbers: list[int]) -> None:
        super().__init__(base)
        self.recorded = recorded
        """Result of the incumbent's same call, or None: take its identifiers, so that later calls find them."""
        self._numbers = numbers

    def fresh(self, prefix: str = "shadow") -> str:
        """An identifier that no real system gave out."""
        self._numbers[0] += 1
        return f"{prefix}-shadow-{self._numbers[0]}"


@checked_keywords()
class EntityWorld(World):
    """Tools modelled by functions of yours over entities that you name by key.

    ::

        def open_ticket(world, order_id, summary):
            ticket = (world.recorded or {}).get("ticket_id") or world.fresh("T")
            world["tickets", ticket] = {"ticket_id": ticket, "order_id": order_id, "summary": summary}
            return world["tickets", ticket]

        def get_ticket(world, ticket_id):
            return world["tickets", ticket_id]  # KeyError: this world does not know it, the next policy is asked

        EntityWorld({"open_ticket": open_ticket, "get_ticket": get_ticket})

    Modelled writes are always answered here. A modelled read is, where it touches an entity that the candidate wrote,
    or where the incumbent's record does not have it. Any other exception is the tool's failure.

    Args:
        tools: Tool -> function of the state and the tool's arguments.
        base: Called once a query for what was there when it was asked; read-only. It gets the envelope if it has a
            parameter for it: `envelope.query.asked_at`, `.unit` and `.attributes` say when and in whose conversation,
            `envelope.served` what the incumbent did. Its cost should not grow with its size.
    """

    exclusive = False

    def __init__(
        self,
        tools: Mapping[str, Callable[..., Any]],
        *,
        base: Callable[..., Mapping[Any, Any]] | None = None,
    ) -> None:
        self.tools: dict[str, Callable[..., Any]] = checked_mapping("EntityWorld.tools", tools)
        for tool, function in self.tools.items():
            checked_function(f"EntityWorld.tools[{tool!r}]", function)
        self.base = checked_function("EntityWorld.base", base)

    def opened(self, record: Recorded, *, envelope: Envelope, scratch: Path) -> OpenEntityWorld:  # noqa: ARG002 - the protocol's
        """The world of one query."""
        return OpenEntityWorld(self.tools, made_for(envelope, self.base) if self.base else {}, record=record)


class OpenEntityWorld(OpenWorld):
    """`EntityWorld` during one query."""

    def __init__(self, tools: Mapping[str, Callable[..., Any]], base: Mapping[Any, Any], *, record: Recorded) -> None:
        self._tools, self._record = tools, record
        self._numbers = [0]
        self._state = OverlayMapping(base)
        self._entities: dict[tuple[str, str, int], str] = {}
        self._lock = threading.RLock()

    def precedes(self, request: ToolRequest) -> bool:
        """A modelled write, or a read of what was written."""
        if request.name not in self._tools:
            return False
        if request.effect != "read":
            return True
        if not self._state.changes:
            return False
        with self._lock:
            _, state = self._tried(request)
            return bool(state.read & self._state.written)

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """What the function returns; None: not modelled, or it knows no such entity."""
        if request.name not in self._tools:
            return None
        with self._lock:
            answer, state = self._tried(request)
            if answer is None or answer.error is not None or request.effect == "read":
                return answer
            self._entities[_call(request)] = ", ".join(sorted(map(_shown, state.changes)))
            state.commit()
            return answer

    def _tried(self, request: ToolRequest) -> tuple[StubAnswer | None, WorldState]:
        call = self._record.find(request)
        call = with_result(call) if call is not None and call.succeeded else None
        recorded = None if call is None else call.result
        state = WorldState(self._state, recorded=recorded, numbers=self._numbers)
        try:
            result = self._tools[request.name](state, **request.arguments)
        except KeyError:
            return None, state
        except Exception as error:  # noqa: BLE001 - the model of a tool may fail in every way in which the tool may
            return StubAnswer(answered="world", error=f"{type(error).__name__}: {error}"), state
        replayed = recorded is not None and result == recorded
        return StubAnswer(answered="replayed" if replayed else "world", result=result), state

    def entity(self, request: ToolRequest) -> str:
        """Keys that the write touched."""
        return self._entities.get(_call(request), "")

    def changes(self) -> Mapping[str, Any]:
        """The entities that were written, None for those that were deleted."""
        with self._lock:
            return {_shown(key): None if value is _GONE else value for key, value in self._state.changes.items()}

    def close(self) -> None:
        """Forget everything."""
        self._state = OverlayMapping()


def _call(request: ToolRequest) -> tuple[str, str, int]:
    key = request.key if isinstance(request, KeyedRequest) else repr(request.arguments)
    return request.name, key, request.occurrence


def _shown(key: Hashable) -> str:
    return _SEPARATOR.join(map(str, cast("tuple[Any, ...]", key))) if isinstance(key, tuple) else str(key)
