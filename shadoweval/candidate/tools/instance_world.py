"""A throw-away object of the user's own for each query, whose methods are the tools."""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from shadoweval.candidate.tools.replay import with_result
from shadoweval.capture.identity import Identifier, call_key, touched
from shadoweval.checks import checked_function, checked_keywords, checked_mapping, checked_strings
from shadoweval.codec import plain
from shadoweval.errors import ArgumentError, ExperimentError, closest
from shadoweval.protocols import OpenWorld, Recorded, StubAnswer, ToolRequest, World
from shadoweval.records import Envelope, ToolCall

__all__ = ["InstanceWorld", "made_for"]

_Operation = str | Callable[..., Any]


@checked_keywords()
class InstanceWorld(World):
    """Tools that are methods of an object of yours, which is made anew for each query and thrown away after it.

    ::

        Stubs(worlds=[InstanceWorld(Shop, tools=["refund", "look_up_order"])])
        Stubs(worlds=[InstanceWorld({"K-1": 990}, tools={"refund": refund_in, "look_up_order": look_up_in})])

    Writes are always applied to it. As long as the candidate does what the incumbent did, it is told what the incumbent
    was told; once it has written otherwise, it reads this world. What a method raises is the tool's failure.

    Args:
        factory: Called for each query: a class, or a function, which gets the envelope if it has a parameter for it.
            Or the state itself (a dict, an object), of which each query has a deep copy.
        tools: Names of tools that are methods of that name; or tool -> name of a method, or function of the state and
            the tool's arguments. What another tool does to the world is not seen.
        watch: Gives the parts of the state whose changes are recorded for `task_success`, as a mapping of plain data:
            `vars`, `dict`, or a function of yours. None: none are.
    """

    exclusive = False

    def __init__(
        self,
        factory: Any,
        *,
        tools: Collection[str] | Mapping[str, _Operation],
        watch: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        self.factory, self.watch = factory, checked_function("InstanceWorld.watch", watch)
        self._last: Any = None
        if isinstance(tools, Mapping):
            self.tools: dict[str, _Operation] = checked_mapping("InstanceWorld.tools", tools)
        else:
            self.tools = {name: name for name in checked_strings("InstanceWorld.tools", tools)}
        for tool, operation in self.tools.items():
            if not isinstance(operation, str):
                checked_function(f"InstanceWorld.tools[{tool!r}]", operation, awaited=True)
        if isinstance(factory, type) or not callable(factory):
            self._checked_methods(factory)

    def _checked_methods(self, state: Any) -> None:
        kind = state.__name__ if isinstance(state, type) else type(state).__name__
        for tool, operation in self.tools.items():
            if isinstance(operation, str) and not callable(getattr(state, operation, None)):
                methods = [name for name in dir(state) if not name.startswith("_")]
                mend = f"Write tools={{{tool!r}: function_of_state_and_arguments}}, or name a method."
                raise ArgumentError(
                    f"InstanceWorld.tools[{tool!r}]",
                    operation,
                    expected=f"a method of {kind!r}",
                    mend=f"{closest(operation, methods)} {mend}",
                )

    def opened(self, record: Recorded, *, envelope: Envelope, scratch: Path) -> OpenInstanceWorld:  # noqa: ARG002 - the protocol's
        """The object for one query.

        Raises:
            ArgumentError: what the factory made has no such method.
        """
        if callable(self.factory):
            state = made_for(envelope, self.factory)
            if state is self._last:
                raise ExperimentError(
                    "The factory of InstanceWorld gave the same object twice, so what one query writes the next would "
                    "read. Make a new one each time, or give the object itself, which is copied."
                )
            self._last = state
        else:
            state = copy.deepcopy(self.factory)
        self._checked_methods(state)
        return OpenInstanceWorld(state, self.tools, record=record, watch=self.watch)


def made_for(envelope: Envelope, function: Callable[..., Any]) -> Any:
    """What a function makes for a query; it gets the envelope where it has a parameter for it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some builtins have no signature
        return function()
    free = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    if any(each.name == "envelope" and each.kind not in free for each in parameters):
        return function(envelope=envelope)
    wanted = [each for each in parameters if each.kind in free]
    if any(each.name == "envelope" or each.default is each.empty for each in wanted):
        return function(envelope)
    return function()


class OpenInstanceWorld(OpenWorld):
    """`InstanceWorld` during one query."""

    def __init__(
        self,
        state: Any,
        tools: Mapping[str, _Operation],
        *,
        record: Recorded,
        watch: Callable[[Any], Mapping[str, Any]] | None = None,
    ) -> None:
        self._state, self._tools, self._record, self._watch = state, tools, record, watch
        self._before = self._parts()
        self._changed = False
        self._own: dict[Identifier, Any] = {}
        """What the incumbent was told -> what this world calls it."""
        self._lock = threading.RLock()

    def precedes(self, request: ToolRequest) -> bool:
        """A write, or a read once the candidate has written otherwise than the incumbent."""
        if request.name not in self._tools:
            return False
        return request.effect != "read" or (self._changed and not self._record.in_step(request))

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """What the method returns, or what the incumbent was told as long as the candidate does the same."""
        operation = self._tools.get(request.name)
        if operation is None:
            return None
        recorded = self._recorded(request)
        if recorded is not None and recorded.error is not None:
            return StubAnswer(answered="replayed", error=recorded.error)
        how = "world" if recorded is None else "replayed"
        with self._lock:
            call = self._method(operation)
            arguments = {name: _exchanged(self._own, name, value) for name, value in request.arguments.items()}
            try:
                result = call(**arguments)
            except Exception as error:  # noqa: BLE001 - a method may fail in every way in which the tool may
                if recorded is not None:  # this world does not know what the real one did
                    return StubAnswer(answered=how, result=copy.deepcopy(recorded.result))
                return StubAnswer(answered=how, error=f"{type(error).__name__}: {error}")
            self._changed = self._changed or request.effect != "read"
            if inspect.isawaitable(result):
                return StubAnswer(answered=how, result=self._awaited(result, recorded))
            return StubAnswer(answered=how, result=self._told(result, recorded))

    def _recorded(self, request: ToolRequest) -> ToolCall | None:
        call = self._record.find(request) if self._record.in_step(request) else None
        return None if call is None else with_result(call)

    def _method(self, operation: _Operation) -> Callable[..., Any]:
        return getattr(self._state, operation) if isinstance(operation, str) else partial(operation, self._state)

    async def _awaited(self, result: Awaitable[Any], recorded: ToolCall | None) -> Any:
        try:
            own = await result
        except Exception:
            if recorded is None:
                raise
            return copy.deepcopy(recorded.result)
        return self._told(own, recorded)

    def _told(self, own: Any, recorded: ToolCall | None) -> Any:
        """What the candidate is told: the record's result, or this world's under the names that it knows."""
        if recorded is None:
            # A copy: tools give away no part of the state itself.
            theirs = {(name, mine): value for (name, value), mine in self._own.items()}
            return _exchanged(theirs, "", copy.deepcopy(own))
        self._own.update(_other_names("", recorded.result, own))
        return copy.deepcopy(recorded.result)

    def observe_write(self, request: ToolRequest, answer: StubAnswer) -> None:
        """Writes of other tools are not seen."""

    def changes(self) -> Mapping[str, Any] | None:
        """The parts that are other than at the beginning, None for those that are gone."""
        if self._watch is None:
            return None
        with self._lock:
            now, before = self._parts(), self._before
        return {name: now.get(name) for name in {**before, **now} if _key(now, name) != _key(before, name)}

    def _parts(self) -> dict[str, Any]:
        return (
            {} if self._watch is None else {str(name): plain(part) for name, part in self._watch(self._state).items()}
        )

    def close(self) -> None:
        """Forget everything."""
        self._state = None


def _key(parts: Mapping[str, Any], name: str) -> str:
    return call_key({name: parts[name]}) if name in parts else ""


def _other_names(name: str, recorded: Any, own: Any) -> Iterator[tuple[Identifier, Any]]:
    """Identifiers in a recorded result with what stands in their place in this world's."""
    if isinstance(recorded, Mapping) and isinstance(own, Mapping):
        for key, part in cast("Mapping[Any, Any]", recorded).items():
            if key in own:
                yield from _other_names(str(key), part, own[key])
    elif isinstance(recorded, list | tuple) and isinstance(own, list | tuple):
        for part, mine in zip(cast("list[Any]", recorded), cast("list[Any]", own), strict=False):
            yield from _other_names(name, part, mine)
    elif type(recorded) is type(own) and recorded != own:
        yield from ((identifier, own) for identifier in touched({name: recorded}, None))


def _exchanged(names: Mapping[Identifier, Any], name: str, value: Any) -> Any:
    """A value with each identifier that has another name under that name."""
    if not names:
        return value
    if isinstance(value, Mapping):
        return {key: _exchanged(names, str(key), part) for key, part in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        parts = [_exchanged(names, name, part) for part in cast("list[Any]", value)]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, str):
        return names.get(("", value), value)
    return names.get((name, value), value) if isinstance(value, int) else value
