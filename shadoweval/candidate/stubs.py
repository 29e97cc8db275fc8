"""How a candidate's tool calls are answered: policies in order, the first that has an answer gives it.

The order is: the incumbent's record, your function for the tool, worlds, the tool itself (reads that you allow), a
simulated result (writes), refusal. A world that holds what the candidate itself wrote comes before the record.
"""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import msgspec

from shadoweval import codec
from shadoweval.candidate.replay import KeyedRequest, Normal, Record, Replay, call_key
from shadoweval.candidate.simulate import Simulate
from shadoweval.errors import ExperimentError, UncopyableError
from shadoweval.protocols import StubAnswer, StubPolicy, ToolRequest
from shadoweval.records import Effect, Envelope, Refusal, WriteEffect

__all__ = ["Function", "Live", "OpenWorld", "Refuse", "Session", "Stubs", "World"]


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


class Stubs:
    """What answers the tools of an experiment's candidates.

    Args:
        tools: By tool: a function that stands in for it (after the record), or a sequence of policies that is the
            whole order for that tool. Refusal always ends it.
        default: Whole order for every tool that `tools` gives no sequence; None: the order described above.
        effects: Tool -> `read`, `write` or `unknown`; wins over what the tool declares.
        live: Reads that may run for real: True, False, or their names.
        worlds: Throw-away copies of parts of the world, see `world`.
        schemas: Tool -> JSON schema of its output, from which a result is simulated where no recorded one is.
        simulate: Whether writes that nothing else answers get a simulated result; else they are refused.

    It travels to the candidate's process by pickle, so functions must be importable: no lambdas, no closures.
    """

    def __init__(
        self,
        tools: Mapping[str, Policy | Sequence[Policy]] | None = None,
        *,
        default: Sequence[Policy] | None = None,
        effects: Mapping[str, Effect] | None = None,
        live: bool | Collection[str] = False,
        worlds: Sequence[World] = (),
        schemas: Mapping[str, Mapping[str, Any]] | None = None,
        simulate: bool = True,
    ) -> None:
        self.tools = dict(tools or {})
        self.default = None if default is None else tuple(default)
        self.effects: dict[str, Effect] = dict(effects or {})
        self.live = live if isinstance(live, bool) else tuple(live)
        self.worlds = tuple(worlds)
        self.schemas = {name: dict(schema) for name, schema in (schemas or {}).items()}
        self.simulate = simulate

    @property
    def exclusive(self) -> bool:
        """Whether a process can serve only one query at a time under these stubs."""
        return any(world.exclusive for world in self.worlds)

    def packed(self, extract: Callable[[Any], Any] | None = None) -> bytes:
        """These stubs, and a function beside them, as bytes for a process of ours.

        Raises:
            ExperimentError: a function that the other process can't import.
        """
        try:
            return pickle.dumps((self, extract))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ExperimentError(
                f"The stubs can't be sent to the candidate's process: {error}. Use functions of a module, no lambdas "
                "or functions inside functions."
            ) from error

    def order(self, tool: str) -> tuple[Policy, ...]:
        """The policies for a tool, without worlds and the final refusal."""
        own = self.tools.get(tool)
        if isinstance(own, Sequence):
            return tuple(own)
        between = () if own is None else (own,)
        if self.default is not None:
            return (*between, *self.default)
        live = () if self.live is False else (Live(None if self.live is True else self.live),)
        return (Replay(), *between, *live, *((Simulate(),) if self.simulate else ()))

    def opened(self, envelope: Envelope, *, scratch: Path) -> Session:
        """These stubs for one query."""
        return Session(self, envelope, scratch=scratch)


class Session:
    """Answers the tool calls of one run; knows what it wrote, what was refused, and that nothing was written for real.

    Thread-safe: agents call tools from pools of threads.
    """

    def __init__(self, stubs: Stubs, envelope: Envelope, *, scratch: Path) -> None:
        self.stubs = stubs
        self.record = Record(envelope.served.tool_calls)
        self.worlds = [w.opened(self.record, envelope=envelope, scratch=scratch) for w in stubs.worlds]
        self.live_writes = 0
        """Writes that ran outside a world; 0 unless a policy broke the rules."""
        self.closed = False
        self._writes: list[WriteEffect] = []
        self._refused: Counter[str] = Counter()
        self._times: Counter[tuple[str, str]] = Counter()
        self._orders: dict[str, list[StubPolicy]] = {}
        self._lock = threading.Lock()

    def answer(
        self,
        name: str,
        arguments: dict[str, Any],
        *,
        effect: Effect,
        live: Callable[[], Any] | None,
        normal: Normal | None = None,
    ) -> StubAnswer:
        """Answer one call. `normal` gives the arguments as the tool would see them, for the key of the replay.

        An exception of a live read passes through.
        """
        effect = self.stubs.effects.get(name, effect)
        if normal is not None:
            self.record.index(name, normal=normal)
        key = call_key(normal(arguments) if normal else arguments)
        with self._lock:
            self._times[name, key] += 1
            occurrence = self._times[name, key]
        request = KeyedRequest(
            name=name,
            arguments=arguments,
            effect=effect,
            occurrence=occurrence,
            live=live if effect == "read" else None,
            schema=self.stubs.schemas.get(name),
            key=key,
        )
        answer = self._first_answer(request, live)
        if effect != "read":
            self._note_write(request, answer)
        if answer.answered == "refused":
            with self._lock:
                self._refused[name] += 1
        return answer

    def _first_answer(self, request: KeyedRequest, live: Callable[[], Any] | None) -> StubAnswer:
        if self.closed:
            return Refuse().answer(request)
        inside = msgspec.structs.replace(request, live=live) if self.worlds else request
        early = [world for world in self.worlds if world.precedes(request)]
        for world in early:
            found = world.answer(inside)
            if found is not None:
                return found
        for policy in self._order(request.name):
            found = policy.answer(request)
            if found is not None:
                return self._checked(found, request)
            if isinstance(policy, _Worlds):
                for world in self.worlds:
                    found = None if world in early else world.answer(inside)
                    if found is not None:
                        return found
        return Refuse().answer(request)

    def _checked(self, answer: StubAnswer, request: ToolRequest) -> StubAnswer:
        """Count a write that a policy says it let through to the real tool."""
        if answer.answered == "live" and request.effect != "read":
            with self._lock:
                self.live_writes += 1
        return answer

    def _order(self, tool: str) -> list[StubPolicy]:
        found = self._orders.get(tool)
        if found is None:
            policies = self.stubs.order(tool)
            found = [self._policy(policy) for policy in policies]
            # Worlds answer before anything runs for real or is made up.
            late = next((i for i, p in enumerate(policies) if isinstance(p, Live | Simulate | Refuse)), len(found))
            found.insert(late, _Worlds())
            self._orders[tool] = found
        return found

    def _policy(self, policy: Policy) -> StubPolicy:
        if isinstance(policy, Replay | Simulate):
            return policy.opened(self.record)
        return cast("StubPolicy", policy) if hasattr(policy, "answer") else Function(cast("Any", policy))

    def _note_write(self, request: ToolRequest, answer: StubAnswer) -> None:
        entity = ""
        for world in self.worlds:
            world.noted(request, answer)
            entity = entity or world.entity(request)
        write = WriteEffect(tool=request.name, arguments=_kept(request.arguments), entity=entity)
        with self._lock:
            self._writes.append(write)

    def writes(self) -> tuple[WriteEffect, ...]:
        """What the run wrote or would have written, in order."""
        with self._lock:
            return tuple(self._writes)

    def refusals(self) -> tuple[Refusal, ...]:
        """Tools that were refused."""
        with self._lock:
            return tuple(Refusal(kind="tool", detail=name, layer="stubs", count=n) for name, n in self._refused.items())

    def close(self) -> None:
        """The run is over: what still calls from a left-over thread is refused."""
        self.closed = True
        for world in self.worlds:
            world.close()


class _Worlds:
    """Marks where the worlds stand in a tool's order."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:  # noqa: ARG002 - the protocol's signature
        return None


def _kept(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they are now, fit for the wire."""
    kept: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            kept[name] = codec.plain(value)
        except UncopyableError as error:
            kept[name] = repr(error)
    return kept
