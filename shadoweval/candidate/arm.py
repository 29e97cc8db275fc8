"""One target seen from the pool: which child runs what, how many at a time, and what is run again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime as dt
import logging
from typing import Any, Final

import msgspec

from shadoweval.candidate.forkserver.client import Nursery
from shadoweval.candidate.forkserver.wire import Ready, Report, Start, outgoing
from shadoweval.candidate.limits import Throttle
from shadoweval.candidate.remote_child import Ended, Flight, Lane
from shadoweval.errors import CandidateError, TargetError
from shadoweval.records import Envelope, Failure, FailureKind, Observation, Usage

__all__ = ["Station"]

_log = logging.getLogger(__name__)

_CANCELLED: Final = "the pool was told to stop what is in flight"
_INTRODUCTION: Final = 5.0
"""Seconds in which a first child says how it is contained."""
_AGAIN: Final = 2
"""How often a run that lost its child through no fault of its own, or met a rate limit, is run again."""


class Station:
    """Runs envelopes against one target.

    Args:
        spec: What its zygote is told.
        processes: Children at a time.
        guard: The guard's policy, or None.
        shapes: What results of writes look like, by tool; grows as envelopes come.
    """

    def __init__(self, spec: Start, *, processes: int, guard: Any, shapes: dict[str, Any]) -> None:
        self.shapes = shapes
        self.arm, self.limits = spec.arm, spec.limits
        self.nursery = Nursery(spec, guard=guard)
        self.throttle = Throttle(processes)
        self.busy = 0
        """Runs in flight."""
        self.containment = ""
        """What holds its processes, in words."""
        self._processes, self._per_child = processes, 1
        self._lanes: list[Lane] = []
        self._hiring = asyncio.Lock()
        self._waiting: collections.deque[asyncio.Future[None]] = collections.deque()
        self._epoch = self._numbers = 0
        self._draining = False
        self._unusable: TargetError | None = None
        self._spare: asyncio.Task[Lane] | None = None

    async def start(self) -> Ready:
        """Import the target.

        Raises:
            TargetError: it can't be imported or run.
        """
        ready = await self.nursery.start()
        self._per_child = self.limits.concurrency if ready.concurrent else 1
        most = self._processes * self._per_child
        if self.throttle.most != most:
            self.throttle = Throttle(most)
        self.containment = await self._tried_containment()
        return ready

    async def _tried_containment(self) -> str:
        """What the guard could put in force here, in words; a child is forked to see, and kept for the first run."""
        if self.nursery.guard is None:
            return "no guard: it may do whatever this user may"
        spare = self._spare or self._fork_spare()
        with contextlib.suppress(CandidateError, TimeoutError):
            lane = await asyncio.shield(spare)
            await asyncio.wait_for(asyncio.shield(lane.contained), _INTRODUCTION)
            if lane.containment:
                missing = [told for told in lane.containment if " missing: " in told]
                layers = ", ".join(told for told in lane.containment if told not in missing)
                return f"contained by: {layers}; {'; '.join(missing) or 'nothing missing'}"
        return "the guard can't be put in force: nothing will run"

    async def run(self, envelope: Envelope, *, alone: bool) -> Observation:
        """Run an envelope and observe it. `alone`: in a child of its own."""
        try:
            if self._unusable is not None:
                raise self._unusable
            if self.nursery.ready is None:
                await self.start()
            return await self._run(envelope, alone=alone)
        except TargetError as error:  # an entry of the incumbent's, or a target that changed on disk
            if self.nursery.ready is None:
                self._unusable = error
            return self._unrun(envelope, "error", str(error), error_type="TargetError")

    async def _run(self, envelope: Envelope, *, alone: bool) -> Observation:
        epoch, frame, shapes = self._epoch, outgoing(envelope), self._unknown_shapes(envelope)
        for left in reversed(range(_AGAIN + 1)):
            await self._enter(epoch)
            try:
                if epoch != self._epoch or self._draining:
                    return self._unrun(envelope, "killed", _CANCELLED)
                lane = await self._lane(alone=alone)
                if epoch != self._epoch:
                    return self._unrun(envelope, "killed", _CANCELLED)
                self._numbers += 1
                flight, end = await lane.ask(self._numbers, frame, shapes)
            except CandidateError as error:
                if left == 0:
                    return self._unrun(envelope, "crash", str(error))
                continue
            finally:
                self._leave()
            if alone or self._per_child == 1:
                self._release(lane, alone=alone)
            if isinstance(end, Report):
                if self._throttled(end) and left > 0 and end.observation.failed:
                    continue
                return self._seen(envelope, end.observation, flight=flight, lane=lane)
            if end.guilty or left == 0:
                return self._lost(envelope, end, flight=flight, lane=lane)
            alone = True  # one of several that were in a child which died: alone, the culprit shows itself
        raise AssertionError

    def _unknown_shapes(self, envelope: Envelope) -> dict[str, Any]:
        """Shapes of results that the envelope does not show itself."""
        known = {call.name for call in envelope.served.tool_calls}
        return {name: shape for name, shape in self.shapes.items() if name not in known}

    def _release(self, lane: Lane, *, alone: bool) -> None:
        if alone and lane.open:
            lane.kill("killed", "its run is over")

    # Whose turn it is.

    async def _enter(self, epoch: int) -> None:
        loop = asyncio.get_running_loop()
        while epoch == self._epoch and not self._draining:
            pause = self.throttle.until - loop.time()
            if pause <= 0 and self.busy < int(self.throttle.allowed):
                break
            turn = loop.create_future()
            self._waiting.append(turn)
            timer = loop.call_later(pause, self._wake) if pause > 0 else None
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()
                raise
            finally:
                if timer is not None:
                    timer.cancel()
        self.busy += 1

    def _leave(self) -> None:
        self.busy -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    # Which child.

    async def _lane(self, *, alone: bool) -> Lane:
        if alone:
            return await self._hired()
        lane = self._roomiest()
        if lane is None:
            async with self._hiring:
                lane = self._roomiest()
                if lane is None:
                    lane = await self._hired()
                    if lane.open:
                        self._lanes.append(lane)
        return lane

    async def _hired(self) -> Lane:
        """A new child: the spare one, which was forked while the last one worked."""
        spare, self._spare = self._spare, None
        lane = None
        if spare is not None:
            with contextlib.suppress(CandidateError):
                lane = await spare
        if lane is None or not lane.open:
            lane = await self.nursery.fork(self._ended)
        if self._spare is None:
            self._fork_spare()
        return lane

    def _fork_spare(self) -> asyncio.Task[Lane]:
        self._spare = asyncio.create_task(self.nursery.fork(self._ended))
        self._spare.add_done_callback(_looked_at)
        return self._spare

    def _roomiest(self) -> Lane | None:
        lane = min(self._lanes, key=lambda lane: len(lane.flights), default=None)
        if lane is None or len(lane.flights) < self._per_child:
            return lane
        return None

    def _ended(self, lane: Lane) -> None:
        if lane in self._lanes:
            self._lanes.remove(lane)

    # What is told of it.

    def _throttled(self, report: Report) -> bool:
        if not report.throttled:
            self.throttle.succeed()
            return False
        self.throttle.slow(asyncio.get_running_loop().time(), retry_after=report.retry_after)
        _log.warning(
            "candidate met a rate limit",
            extra={"arm": self.arm, "allowed": int(self.throttle.allowed), "hits": self.throttle.hits},
        )
        return True

    def _seen(self, envelope: Envelope, told: Observation, *, flight: Flight, lane: Lane) -> Observation:
        return msgspec.structs.replace(
            told,
            query_id=envelope.query.id,
            arm=self.arm,
            place="shadow",
            refusals=(*told.refusals, *flight.refusals),
            containment=lane.containment,
        )

    def _lost(self, envelope: Envelope, end: Ended, *, flight: Flight, lane: Lane) -> Observation:
        seen = self._unrun(envelope, end.kind, end.message)
        return msgspec.structs.replace(
            seen,
            started_at=flight.started_at,
            duration=asyncio.get_running_loop().time() - flight.began,
            usage=Usage(peak_memory=end.peak_memory),
            refusals=tuple(flight.refusals),
            containment=lane.containment,
        )

    def _unrun(self, envelope: Envelope, kind: FailureKind, message: str, *, error_type: str = "") -> Observation:
        return Observation(
            query_id=envelope.query.id,
            arm=self.arm,
            place="shadow",
            failure=Failure(kind=kind, message=message, error_type=error_type),
            started_at=dt.datetime.now(dt.UTC),
            duration=0.0,
            versions=self.nursery.ready.versions if self.nursery.ready else {},
        )

    # The end.

    def cancel(self) -> None:
        """Kill every run in flight and drop those that wait."""
        self._epoch += 1
        for lane in list(self.nursery.lanes.values()):
            if lane.flights:
                lane.kill("killed", _CANCELLED)
        for _ in range(len(self._waiting)):
            self._wake()

    def drain(self) -> None:
        """Begin no further run, nor one again: what waits for its turn ends as `killed`, what runs goes on."""
        self._draining = True
        for _ in range(len(self._waiting)):
            self._wake()

    def close(self) -> None:
        """Kill everything."""
        self.cancel()
        if self._spare is not None:
            self._spare.cancel()
        self.nursery.close()


def _looked_at(spare: asyncio.Task[Lane]) -> None:
    """A spare child that could not be forked costs nobody anything."""
    if not spare.cancelled():
        spare.exception()
