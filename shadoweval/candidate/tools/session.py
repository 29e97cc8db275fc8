"""The tools of one run: who answers each call, what was written, what was refused."""

from __future__ import annotations

import functools
import inspect
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.candidate.tools.changes import changes_in
from shadoweval.candidate.tools.replay import KeyedRequest, Normal, Record, with_result
from shadoweval.candidate.tools.simulated import Simulate
from shadoweval.candidate.tools.stubs import Function, Live, Policy, Refuse, Stubs
from shadoweval.capture.failed_results import declared, failure_in, judged
from shadoweval.capture.recorder import current as recording
from shadoweval.capture.retrieved import retrieved_again
from shadoweval.errors import UncopyableError
from shadoweval.protocols import StubAnswer, StubPolicy, ToolRequest
from shadoweval.records import Effect, Envelope, Refusal, ToolCall, WriteEffect

__all__ = ["Session"]

_LIVE: Final = frozenset({"live", "altered"})
"""How a call is answered that ran in the candidate's own time."""
_REFUSED: Final = 50
"""Refused tools of a run that are told apart."""


class Session:
    """Answers the tool calls of one run; knows what it wrote, what was refused, and that nothing was written for real.

    Thread-safe: agents call tools from pools of threads.
    """

    def __init__(
        self, stubs: Stubs, envelope: Envelope, *, scratch: Path, on_live_write: Callable[[], None] = lambda: None
    ) -> None:
        self.stubs, self._on_live_write = stubs, on_live_write
        self.asked_at = envelope.query.asked_at
        """The time as of which memories are copied."""
        self.query_id, self.text = envelope.query.id, envelope.query.text
        served = (judged(call, stubs.failed) for call in envelope.served.tool_calls)
        self.record = Record(served, effects=stubs.effects, compare=stubs.compare)
        self.worlds = [w.opened(self.record, envelope=envelope, scratch=scratch) for w in stubs.worlds]
        self.live_writes = 0
        """Writes that ran outside a world; 0 unless a policy broke the rules."""
        self.closed = False
        self._writes: list[WriteEffect] = []
        # Plain dicts: making two Counters took a tenth of the time of a run without tools.
        self._refused: dict[str, int] = {}
        self._times: dict[tuple[str, str], int] = {}
        self._orders: dict[str, list[StubPolicy]] = {}
        self._lock = threading.Lock()
        self.clock = StubClock()

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
        key = self.record.key(name, normal(arguments) if normal else arguments)
        with self._lock:
            occurrence = self._times[name, key] = self._times.get((name, key), 0) + 1
        if live is not None:
            live = functools.partial(self.clock.paused, live)
        request = KeyedRequest(
            name=name,
            arguments=arguments,
            effect=effect,
            occurrence=occurrence,
            live=live if effect == "read" else None,
            schema=self.stubs.schemas.get(name),
            key=key,
            record=self.record,
        )
        with self.clock:
            answer = self._first_answer(request, live)
        if answer.answered == "replayed" or answer.beside:
            inner = self._replay_inner(request)
            retrieved_again(recording.get(), [answer.beside, *(call.beside for call in inner)])
        if inspect.isawaitable(answer.result) and (effect != "read" or answer.answered not in _LIVE):
            return msgspec.structs.replace(answer, result=self._awaited(request, answer))
        if effect != "read":
            self._record_write(request, answer)
        if answer.answered == "refused":
            with self._lock:
                name = name if name in self._refused or len(self._refused) < _REFUSED else "and others"
                self._refused[name] = self._refused.get(name, 0) + 1
        return answer

    def _replay_inner(self, outer: KeyedRequest) -> Sequence[ToolCall]:
        """The calls that a replayed call's tool made itself were made with it."""
        calls = self.record.inner(outer)
        for call in calls:
            key = self.record.known_by(call)
            with self._lock:
                occurrence = self._times[call.name, key] = self._times.get((call.name, key), 0) + 1
            again = with_result(call)
            result, error = (None, call.error) if again is None else (again.result, again.error)
            effect = self.stubs.effects.get(call.name, call.effect)
            request = KeyedRequest(
                name=call.name, arguments={**call.arguments}, effect=effect, occurrence=occurrence, key=key,
                record=self.record,
            )  # fmt: skip
            recorder = recording.get()
            if recorder is not None:
                recorder.add_call(
                    call.name,
                    call.arguments,
                    result,
                    started=time.perf_counter(),
                    duration=0.0,
                    error=error,
                    effect=effect,
                    answered="replayed",
                    beside=call.beside,
                )
            if effect != "read":
                self._record_write(request, StubAnswer(answered="replayed", result=result, error=error))
        return calls

    async def _awaited(self, request: KeyedRequest, answer: StubAnswer) -> Any:
        """An async tool's write is one once it has succeeded."""
        if answer.answered in _LIVE:
            result = await answer.result
        else:
            with self.clock:
                result = await answer.result
        if request.effect != "read":
            self._record_write(request, msgspec.structs.replace(answer, result=result))
        return result

    def _first_answer(self, request: KeyedRequest, live: Callable[[], Any] | None) -> StubAnswer:
        if self.closed:
            return Refuse().answer(request)
        inside = msgspec.structs.replace(request, live=live) if self.worlds else request
        early = [world for world in self.worlds if world.precedes(request)]
        answer = _first(world.answer(inside) for world in early)
        if answer is not None:
            return answer
        for policy in self._order(request.name):
            if isinstance(policy, _Worlds):
                answer = _first(world.answer(inside) for world in self.worlds if world not in early)
            else:
                answer = policy.answer(request)
            if answer is not None:
                if answer.answered == "live" and request.effect != "read":
                    self._wrote_live()  # a policy let it through to the real tool
                return answer
        return Refuse().answer(request)

    def _order(self, tool: str) -> list[StubPolicy]:
        order = self._orders.get(tool)
        if order is None:
            policies = self.stubs.order(tool)
            order = [_policy(policy) for policy in policies]
            # Worlds answer before anything runs for real or is made up.
            late = next((i for i, p in enumerate(policies) if isinstance(p, Live | Simulate | Refuse)), len(order))
            order.insert(late, _Worlds())
            self._orders[tool] = order
        return order

    def _record_write(self, request: KeyedRequest, answer: StubAnswer) -> None:
        """Keep what was written or, if it was refused, would have been; a failed call writes nothing."""
        if answer.answered != "refused":
            if answer.error is not None or self.failed(request.name, answer.result):
                return
            with self._lock:
                self.record.wrote(request, answer.result)
        entity = ""
        for world in self.worlds:
            world.observe_write(request, answer)
            entity = entity or world.entity(request)
        write = WriteEffect(tool=request.name, arguments=_plain_arguments(request.arguments), entity=entity)
        with self._lock:
            self._writes.append(write)

    def happened(self, name: str, arguments: Mapping[str, Any], *, effect: Effect) -> None:
        """A tool has run where no policy is asked: at a model's provider."""
        if self.stubs.effects.get(name, effect) != "read":
            write = WriteEffect(tool=name, arguments=_plain_arguments(arguments), entity="")
            with self._lock:
                self._writes.append(write)
            self._wrote_live()

    def _wrote_live(self) -> None:
        with self._lock:
            self.live_writes += 1
        self._on_live_write()

    def failed(self, tool: str, result: Any) -> str:
        """Why a result is a failure; empty: it is none."""
        return failure_in(result, self.stubs.failed.get(tool) or declared.get(tool))

    def writes(self) -> tuple[WriteEffect, ...]:
        """What the run wrote or would have written, in order."""
        if not self._writes:
            return ()
        with self._lock:
            return tuple(self._writes)

    def declared(self, call: ToolCall) -> ToolCall:
        """A recorded call with its declared effect, whether it failed, and marked where it read what was altered."""
        call, effect = judged(call, self.stubs.failed), self.stubs.effects.get(call.name, call.effect)
        if call.answered == "live" and self.record.marked(call):
            return msgspec.structs.replace(call, effect=effect, answered="altered")
        return call if effect == call.effect else msgspec.structs.replace(call, effect=effect)

    def changed(self) -> tuple[dict[str, Any] | None, str]:
        """See `changes_in`."""
        return changes_in(self.worlds)

    def refusals(self) -> tuple[Refusal, ...]:
        """Tools that were refused."""
        if not self._refused:
            return ()
        with self._lock:
            return tuple(Refusal(kind="tool", detail=name, layer="stubs", count=n) for name, n in self._refused.items())

    def close(self) -> None:
        """The run is over: what still calls from a left-over thread is refused."""
        self.closed = True
        for world in self.worlds:
            world.close()


class StubClock:
    """Seconds in which the stubs of one run were at work, which are not the candidate's; threads count once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working, self._since, self._seconds = 0, 0.0, 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._working:
                self._since = time.perf_counter()
            self._working += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._working -= 1
            if not self._working:
                self._seconds += time.perf_counter() - self._since

    def paused(self, live: Callable[[], Any]) -> Any:
        """What a tool itself returns, which works in the candidate's time."""
        self.__exit__()
        try:
            return live()
        finally:
            self.__enter__()

    def seconds(self) -> float:
        """Until now. Asked from a signal handler too, so it takes no lock: the interrupted code may hold it."""
        return self._seconds + (time.perf_counter() - self._since if self._working else 0.0)


def _policy(policy: Policy) -> StubPolicy:
    return cast("StubPolicy", policy) if hasattr(policy, "answer") else Function(cast("Any", policy))


def _first(answers: Iterable[StubAnswer | None]) -> StubAnswer | None:
    return next((answer for answer in answers if answer is not None), None)


class _Worlds:
    """Marks where the worlds stand in a tool's order."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:  # noqa: ARG002 - the protocol's signature
        return None


def _plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they are now, fit for the wire."""
    plain: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            plain[name] = codec.plain(value)
        except UncopyableError as error:
            plain[name] = repr(error)
    return plain
