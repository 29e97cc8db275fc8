"""One target seen from the pool: which child runs what, how many at a time, and what is run again."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import datetime as dt
from typing import Final

import msgspec

from shadoweval.candidate.causes import Cause, blamed, unproven, with_refusals
from shadoweval.candidate.cold_start import GIVEN_UP, ColdStart
from shadoweval.candidate.forkserver.client import ForkServerClient
from shadoweval.candidate.forkserver.wire import Ready, Report, outgoing
from shadoweval.candidate.guard import advice
from shadoweval.candidate.kill_watch import KillWatch
from shadoweval.candidate.remote_child import RemoteChild
from shadoweval.candidate.remote_run import Ended, RemoteRun
from shadoweval.candidate.throttle import RunQueue, Throttle
from shadoweval.errors import CandidateError, TargetError
from shadoweval.logs import logger
from shadoweval.records import FIRST_PROCESS, NO_GUARD, Envelope, Failure, FailureKind, Observation, Usage
from shadoweval.seldom import Seldom

__all__ = ["ArmRunner"]

_log = logger(__name__)
_seldom: Final = Seldom()

_CANCELLED: Final = "the pool was told to stop what is in flight"
_ANNOUNCEMENT: Final = 5.0
"""Seconds in which a first child says how it is contained."""
_NO_PROCESS: Final = Cause("no process could be had from the fork server, so nothing was run")
_LATE: Final = 50
_RETRIES: Final = 2
"""How often a run that lost its child through no fault of its own, or met a rate limit, is run again."""


class ArmRunner:
    """Runs envelopes against one target.

    Args:
        fork_server: Imports the target, and forks the children.
        processes: Children at a time.
        watch: Who kills them when the experiment is killed.
    """

    def __init__(self, fork_server: ForkServerClient, *, processes: int, watch: KillWatch) -> None:
        spec, self.fork_server = fork_server.spec, fork_server
        self.arm, self.limits, self._watch = spec.arm, spec.limits, watch
        self._unjudged = (NO_GUARD,) if spec.guard is None else tuple(map(str, spec.guard.allow))
        self._queue = RunQueue(processes)
        self.containment = ""
        """What holds its processes, in words."""
        self._processes, self._per_child = processes, 1
        self._children: list[RemoteChild] = []
        self._forking = asyncio.Lock()
        self._epoch = self._numbers = 0
        self._draining = False
        self._unusable: TargetError | None = None
        self._cold_start = ColdStart(spec.limits)
        self._because = FIRST_PROCESS
        """Why the next process will have been begun."""
        self.given_up: collections.Counter[str] = collections.Counter()
        """Why processes were given up that could have served further runs, and how many."""
        self.late: collections.Counter[str] = collections.Counter()
        """What was refused between runs, with the option that would allow it: it is charged to none of them."""
        self._spare: asyncio.Task[RemoteChild] | None = None

    @property
    def conduct(self) -> tuple[str, ...]:
        """Why processes were given up, and what was refused between runs, in sentences."""
        return (
            *(f"{n:,} processes were given up: {why}" for why, n in self.given_up.most_common()),
            *(f"refused {n:,} times between runs: {what}" for what, n in self.late.most_common()),
        )

    @property
    def throttle(self) -> Throttle:
        """How many runs may be in flight."""
        return self._queue.throttle

    async def start(self) -> Ready:
        """Import the target; raises what `ForkServerClient.start` raises."""
        ready = await self.fork_server.start()
        self._per_child = self.limits.concurrency if ready.concurrent else 1
        most = self._processes * self._per_child
        if self.throttle.most != most:
            self._queue.throttle = Throttle(most)
        self.containment = await self._try_containment()
        return ready

    async def _try_containment(self) -> str:
        """What the guard could put in force here, in words; a child is forked to see, and kept for the first run."""
        if self.fork_server.spec.guard is None:
            return "no guard: it may do whatever this user may"
        spare = self._spare or self._fork_spare()
        with contextlib.suppress(CandidateError, TimeoutError):
            child = await asyncio.shield(spare)
            await asyncio.wait_for(asyncio.shield(child.contained), _ANNOUNCEMENT)
            if child.seen.text:
                return child.seen.text
        return "the guard can't be put in force: nothing will run"

    async def run(self, envelope: Envelope, *, alone: bool) -> Observation:
        """Run an envelope and observe it. `alone`: in a child of its own."""
        try:
            if self._unusable is not None:
                raise self._unusable
            if self.fork_server.ready is None:
                await self.start()
            return await self._run(envelope, alone=alone)
        except TargetError as error:  # an entry of the incumbent's, or a target that changed on disk
            if self.fork_server.ready is None:
                self._unusable = error
            cause = Cause(f"nothing was run: {error.target!r} can't be used: {error.why}", error.mend)
            return self._unrun(envelope, "error", str(error), error_type="TargetError", cause=cause)

    async def _run(self, envelope: Envelope, *, alone: bool) -> Observation:
        epoch, frame = self._epoch, outgoing(envelope)
        for retries in range(_RETRIES, -1, -1):
            await self._queue.enter(lambda: epoch != self._epoch or self._draining)
            try:
                if epoch != self._epoch or self._draining:
                    return self._unrun(envelope, "killed", _CANCELLED)
                child = await self._child(alone=alone)
                if epoch != self._epoch:
                    return self._unrun(envelope, "killed", _CANCELLED)
                self._numbers += 1
                seconds = self._cold_start.seconds() if child.because else self.limits.seconds
                loading = self.limits.start_seconds if child.because and self.fork_server.spec.each else 0.0
                run, end = await child.ask(self._numbers, frame, seconds=seconds, loading=loading)
                failure = end.observation.failure if isinstance(end, Report) else end
                child.first_seconds = self._cold_start.ended(run, failure, first=child.first_seconds)
            except CandidateError as error:
                if retries == 0:
                    return self._unrun(envelope, "crash", str(error), cause=_NO_PROCESS)
                continue
            finally:
                self._queue.leave()
            if alone and child.open:
                child.kill("killed", "its run is over")
            if isinstance(end, Report):
                if self._throttled(end) and retries > 0 and end.observation.failed:
                    continue
                return self._observed(envelope, end.observation, run=run, child=child)
            end = end.unless_killed(_CANCELLED if self._watch.struck(child.group) else "")
            if end.guilty or retries == 0:
                return self._lost(envelope, end, run=run, child=child)
            alone = True  # one of several that were in a child which died: alone, the culprit shows itself
        raise AssertionError

    async def _child(self, *, alone: bool) -> RemoteChild:
        if alone:
            child = await self._new_child()
            child.because = "it was tried before, and has a process of its own"
            return child
        child = self._least_busy()
        if child is None:
            async with self._forking:
                child = self._least_busy()
                if child is None:
                    child = await self._new_child()
                    child.because = self._because
                    if child.open:
                        self._children.append(child)
        return child

    async def _new_child(self) -> RemoteChild:
        """A new child: the spare one, which was forked while the last one worked."""
        spare, self._spare = self._spare, None
        child = None
        if spare is not None:
            with contextlib.suppress(CandidateError):
                child = await spare
        if child is None or not child.open:
            child = await self.fork_server.fork(self._ended)
        if self._spare is None and not self.fork_server.spec.each:  # else a spare one would cost a load of its own
            self._fork_spare()
        self._watch.add(child.group)
        return child

    def _fork_spare(self) -> asyncio.Task[RemoteChild]:
        self._spare = asyncio.create_task(self.fork_server.fork(self._ended))
        self._spare.add_done_callback(lambda spare: spare.cancelled() or spare.exception())  # it costs nobody anything
        return self._spare

    def _least_busy(self) -> RemoteChild | None:
        child = min(self._children, key=lambda child: len(child.runs), default=None)
        free = child is None or len(child.runs) < self._per_child
        return child if free else None

    def _ended(self, child: RemoteChild) -> None:
        for refusal in child.late:
            what = f"{refusal.kind} {refusal.detail!r}; if it is needed, {advice(refusal)}"
            self.late[what if what in self.late or len(self.late) < _LATE else "and others"] += refusal.count
        if child in self._children:
            self._children.remove(child)
            self._because = f"{GIVEN_UP} {child.unclean or 'it died'}"
            if child.unclean:
                self.given_up[child.unclean] += 1
                if _seldom.due((self.arm, child.unclean)):
                    _log.warning("a candidate's process was given up", extra={"arm": self.arm, "why": child.unclean})

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

    def _observed(self, envelope: Envelope, seen: Observation, *, run: RemoteRun, child: RemoteChild) -> Observation:
        """The child's observation, with what the pool knows better: candidate code may have written the report."""
        failure, untimed = seen.failure, run.untimed(seen)
        if failure is not None and unproven(failure):
            seen = msgspec.structs.replace(seen, failure=with_refusals(failure, (*seen.refusals, *run.refusals)))
        if (
            seen.query_id == envelope.query.id
            and seen.arm == self.arm
            and seen.place == "shadow"
            and not run.refusals
            and not run.live_writes
            and seen.containment == child.seen.containment
            and seen.unjudged == self._unjudged
            and not (run.cold or seen.cold or untimed or seen.untimed)
        ):
            return seen
        return msgspec.structs.replace(
            seen,
            query_id=envelope.query.id,
            arm=self.arm,
            place="shadow",
            refusals=(*seen.refusals, *run.refusals),
            live_writes=max(seen.live_writes, run.live_writes),
            containment=child.seen.containment,
            unjudged=self._unjudged,
            cold=run.cold,
            untimed=untimed,
        )

    def _lost(self, envelope: Envelope, end: Ended, *, run: RemoteRun, child: RemoteChild) -> Observation:
        lost = self._unrun(envelope, end.kind, end.message, cause=None if end.guilty else Cause(end.message))
        duration = asyncio.get_running_loop().time() - run.began
        return msgspec.structs.replace(
            lost,
            started_at=lost.started_at - dt.timedelta(seconds=duration),
            duration=duration,
            usage=Usage(peak_memory=end.peak_memory),
            refusals=tuple(run.refusals),
            live_writes=run.live_writes,
            containment=child.seen.containment,
            unjudged=self._unjudged,
            cold=run.cold,
        )

    def _unrun(
        self, envelope: Envelope, kind: FailureKind, message: str, *, error_type: str = "", cause: Cause | None = None
    ) -> Observation:
        return Observation(
            query_id=envelope.query.id,
            arm=self.arm,
            place="shadow",
            failure=blamed(Failure(kind=kind, message=message, error_type=error_type), cause),
            started_at=dt.datetime.now(dt.UTC),
            duration=0.0,
            versions=self.fork_server.ready.versions if self.fork_server.ready else {},
        )

    def strike(self) -> None:
        """Kill the processes of what is in flight, from any thread; the loop hears of it when it comes to it."""
        for child in list(self.fork_server.children.values()):
            if child.runs:
                child.strike(_CANCELLED)

    def cancel(self) -> None:
        """Kill every run in flight and drop those that wait."""
        self._epoch += 1
        for child in list(self.fork_server.children.values()):
            if child.runs:
                child.kill("killed", _CANCELLED)
        self.fork_server.abandon_forks()
        self._queue.wake_all()

    def drain(self) -> None:
        """Begin no further run, nor one again: what waits for its turn ends as `killed`, what runs goes on."""
        self._draining = True
        self._queue.wake_all()

    def close(self) -> None:
        """Kill everything."""
        self.cancel()
        if self._spare is not None:
            self._spare.cancel()
        self.fork_server.close()
