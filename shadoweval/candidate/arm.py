"""One target seen from the pool: which child runs what, how many at a time, and what is run again."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from shadoweval.candidate.causes import Cause, blamed, unproven, with_refusals
from shadoweval.candidate.cold_start import GIVEN_UP, ColdStart
from shadoweval.candidate.conduct import Conduct
from shadoweval.candidate.forkserver.client import ForkServerClient
from shadoweval.candidate.forkserver.wire import Ready, Report, outgoing
from shadoweval.candidate.kill_watch import KillWatch
from shadoweval.candidate.remote_child import RemoteChild
from shadoweval.candidate.remote_run import Ended, RemoteRun
from shadoweval.candidate.throttle import RunQueue, Throttle
from shadoweval.errors import CandidateError, TargetError
from shadoweval.logs import logger
from shadoweval.records import FIRST_PROCESS, NO_GUARD, Envelope, Failure, FailureKind, Observation, Usage

__all__ = ["ArmRunner"]

_log = logger(__name__)

_CANCELLED: Final = "the pool was told to stop what is in flight"
_ANNOUNCEMENT: Final = 5.0
"""Seconds in which a first child says how it is contained."""
_NO_PROCESS: Final = Cause("no process could be had from the fork server, so nothing was run")
_RETRIES: Final = 2
"""How often a run that lost its child through no fault of its own, or met a rate limit, is run again."""
_UNBEGUN: Final = 20
"""How many processes may be gone before they were sent a run, at no cost to it."""


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
        self._conduct = Conduct(spec.arm)
        self._spare: asyncio.Task[RemoteChild] | None = None

    @property
    def conduct(self) -> tuple[str, ...]:
        """Why processes were given up or died, and what was refused between runs, in sentences."""
        return self._conduct.sentences(self.fork_server.restarts.deaths)

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
        except CandidateError as error:  # nobody waits for its first start any more
            return self._unrun(envelope, "killed", str(error))

    async def _run(self, envelope: Envelope, *, alone: bool) -> Observation:
        epoch, frame, retries, unbegun = self._epoch, outgoing(envelope), _RETRIES, 0
        called_off = partial(self._called_off, epoch)
        while True:
            await self._queue.enter(called_off)
            try:
                if called_off():
                    return self._unrun(envelope, "killed", _CANCELLED)
                child = await self._child(called_off, alone=alone)
                run, end = await self._ask(child, frame)
            except CandidateError as error:
                if retries == 0 and not called_off():
                    return self._unrun(envelope, "crash", str(error), cause=_NO_PROCESS)
                retries -= 1
                continue
            finally:
                self._queue.leave()
            if alone and child.open:
                child.kill("killed", "its run is over")
            if isinstance(end, Report):
                if self._throttled(end) and retries > 0 and end.observation.failed:
                    retries -= 1
                    continue
                return self._observed(envelope, end.observation, run=run, child=child)
            end = end.unless_killed(_CANCELLED if self._watch.struck(child.group) else "")
            if not end.guilty and not run.sent and unbegun < _UNBEGUN:  # its process had died: nothing was run
                unbegun += 1
                continue
            if end.guilty or retries == 0:
                return self._lost(envelope, end, run=run, child=child)
            retries -= 1
            alone = True  # one of several that were in a child which died: alone, the culprit shows itself

    def _called_off(self, epoch: int) -> bool:
        """Whether a run that came in this epoch is not to begin any more."""
        return epoch != self._epoch or self._draining

    async def _ask(self, child: RemoteChild, frame: bytes) -> tuple[RemoteRun, Report | Ended]:
        self._numbers += 1
        seconds = self._cold_start.seconds() if child.because else self.limits.seconds
        loading = self.limits.start_seconds if child.because and self.fork_server.spec.each else 0.0
        run, end = await child.ask(self._numbers, frame, seconds=seconds, loading=loading)
        failure = end.observation.failure if isinstance(end, Report) else end
        child.first_seconds = self._cold_start.ended(run, failure, first=child.first_seconds)
        return run, end

    async def _child(self, called_off: Callable[[], bool], *, alone: bool) -> RemoteChild:
        """A process for a run. Raises `CandidateError` as `ForkServerClient.fork` does, or since it is called off."""
        child = None if alone else self._least_busy()
        if alone:
            child = await self._new_child(called_off)
            child.because = "it was tried before, and has a process of its own"
        elif child is None:
            async with self._forking:
                child = self._least_busy()
                if child is None:
                    child = await self._new_child(called_off)
                    child.because = self._because
                    if child.open:
                        self._children.append(child)
        if called_off():
            if alone:
                child.kill("killed", _CANCELLED)
            raise CandidateError(_CANCELLED)
        return child

    async def _new_child(self, called_off: Callable[[], bool]) -> RemoteChild:
        """A new child: the spare one, which was forked while the last one worked."""
        spare, self._spare = self._spare, None
        child = None
        if spare is not None:
            with contextlib.suppress(CandidateError):
                child = await spare
        if child is None and called_off():
            raise CandidateError(_CANCELLED)
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
        self._conduct.ended(child)
        if child in self._children:
            self._children.remove(child)
            self._because = f"{GIVEN_UP} {child.unclean or 'it died'}"
            if child.unclean:
                self._conduct.gave_up(child.unclean)

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
        failure = seen.failure
        if failure is not None and unproven(failure):
            seen = msgspec.structs.replace(seen, failure=with_refusals(failure, (*seen.refusals, *run.refusals)))
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
            untimed=run.untimed(seen),
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
        self.fork_server.restarts.leave()
        self._queue.wake_all()

    def close(self) -> None:
        """Kill everything."""
        self.cancel()
        if self._spare is not None:
            self._spare.cancel()
        self.fork_server.close()
