"""Runs the arms where they can do no harm: in processes of their own, that can be killed at any time."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

import msgspec

from shadoweval.candidate.arm import ArmRunner
from shadoweval.candidate.environment import Target
from shadoweval.candidate.forkserver.client import ForkServerClient
from shadoweval.candidate.forkserver.launch import elsewhere, here
from shadoweval.candidate.forkserver.wire import Ready, Start
from shadoweval.candidate.guard import GuardPolicy, resolved
from shadoweval.candidate.kill_watch import KillWatch
from shadoweval.candidate.mcp_servers import Servers
from shadoweval.candidate.rates import RateLimit
from shadoweval.candidate.sandbox import Limits
from shadoweval.candidate.target import mismatch
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.capture import Extract
from shadoweval.capture.document_parts import HitId
from shadoweval.capture.failures import Failures
from shadoweval.errors import ExperimentError, TargetError, UnknownCandidateError
from shadoweval.records import INCUMBENT, Arm, Envelope, Failure, Observation

__all__ = ["CandidatePool"]


class CandidatePool:
    """Runs envelopes against targets, each in processes forked from one that has it imported.

    ::

        async with CandidatePool({"rerank": "pipelines.support_rag_rerank:answer"}) as pool:
            observation = await pool.run(envelope, arm="rerank")

    Entering imports every target. A run's failure is in its observation and never raises: `error`, `timeout`,
    `crash`, `out_of_memory`, `refused`, `budget`, or `killed` (by `cancel`; its task stays open).

    Args:
        targets: Arm -> `"module:attribute"` or `Target`. The incumbent needs none: it is run by the query's `entry`.
        limits: Caps of one run.
        stubs: What answers tool calls.
        guard: What the processes may touch; None: no guard, which only tests and trusted candidates should have.
        warm: `"module:attribute"` called once for each target before it serves, to load an index or a model.
        processes: Children an arm has at a time.
        scratch: Folder for throw-away files; a temporary one by default.
        extract: The experiment's way from a returned value to the outcome; must be importable.
        hit_id: The experiment's way to what a retrieved document is known by; as `extract`, or a path.
        failures: What the experiment counts as a failure; must be importable.
        mcp: MCP servers over stdio that candidates may use, name -> command.
        rate: What each run waits for before it begins.
        killed: Asked forty times a second by `kill_watch.KillWatch`; a yes kills what is in flight, whatever the event
            loop waits for. Must neither raise nor wait.
        outside: As of `kill_watch.KillWatch`.
        exchanges: As of `forkserver.wire.Start`; the folder must be among what the guard lets be written.
        checkouts: Folder of the commits that targets name; None: they are made anew, and go with the pool.

    Raises:
        TargetError: on entering, a target that can't be imported, or can't be called as the incumbent is.
        ExperimentError: stubs that can't be sent to another process, or need a process to themselves.
    """

    def __init__(
        self,
        targets: Mapping[Arm, str | Target],
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        stubs: Stubs | None = None,
        guard: GuardPolicy | None = None,
        warm: str | None = None,
        processes: int = 1,
        scratch: Path | None = None,
        extract: Extract | None = None,
        failures: Failures | None = None,
        hit_id: HitId | str | None = None,
        mcp: Mapping[str, str] | None = None,
        rate: RateLimit | None = None,
        killed: Callable[[], bool] | None = None,
        outside: tuple[str, ...] = (),
        exchanges: tuple[str, str] | None = None,
        checkouts: Path | None = None,
    ) -> None:
        self.targets, self.limits, self.guard, self.processes = dict(targets), limits, guard, processes
        self.stubs = stubs or Stubs()
        if self.stubs.exclusive and limits.concurrency > 1:
            raise ExperimentError(
                f"A world of the stubs needs a process to itself, but limits.concurrency is {limits.concurrency}. "
                "Set it to 1 and raise processes instead."
            )
        self._packed = self.stubs.packed(extract, failures, hit_id)
        self._warm = warm or ""
        self._servers = Servers(mcp or {}, limits)
        self._given_scratch, self._scratch = scratch, Path()
        self._runners: dict[tuple[Arm, str | Target], ArmRunner] = {}
        self._draining = False
        self._rate, self._epoch, self._held_until = rate, 0, 0.0
        self._killed, self._outside, self._exchanges = killed, outside, exchanges
        self._watch, self._checkouts = KillWatch(None), checkouts

    async def __aenter__(self) -> Self:
        self._scratch = _made_scratch(self._given_scratch)
        self._watch = KillWatch(self._killed, self._strike, outside=self._outside)
        try:
            await self._servers.open(self._scratch, self.guard)
            async with asyncio.TaskGroup() as group:
                starting = {
                    arm: group.create_task(self._runner(arm, target).start()) for arm, target in self.targets.items()
                }
            self._compare({arm: task.result() for arm, task in starting.items()})
        except ExceptionGroup as errors:
            await self._close()
            raise errors.exceptions[0] from None
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        self._watch.close()
        for runner in self._runners.values():
            runner.close()
        self._runners.clear()
        await self._servers.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _compare(self, ready: Mapping[Arm, Ready]) -> None:
        """Every candidate must be callable as the incumbent is, where both have a signature."""
        incumbent = ready[INCUMBENT].parameters if INCUMBENT in ready else None
        for arm, answer in ready.items():
            if incumbent is None or answer.parameters is None:
                continue
            why = mismatch(incumbent, answer.parameters)
            if why is not None:
                raise TargetError(str(self.targets[arm]), why, mend="Give it the incumbent's parameters.")

    def _runner(self, arm: Arm, target: str | Target) -> ArmRunner:
        runner = self._runners.get((arm, target))
        if runner is None:
            guard = None if self.guard is None else self._policy(self.guard)
            spec = Start(
                target=str(target),
                arm=arm,
                limits=self.limits,
                stubs=self._packed,
                guard=guard,
                scratch=str(self._scratch),
                warm=self._warm,
                mcp=self._servers.commands,
                exchanges=self._exchanges,
            )
            launch = (
                here
                if isinstance(target, str)
                else partial(elsewhere, target, self._checkouts or self._scratch / "checkouts")
            )
            runner = ArmRunner(ForkServerClient(spec, launch), processes=self.processes, watch=self._watch)
            if self._draining:
                runner.drain()
            self._runners[arm, target] = runner
        return runner

    def _policy(self, guard: GuardPolicy) -> GuardPolicy:
        memory = guard.memory_bytes or self.limits.memory_bytes
        sockets = (*guard.unix_sockets, *self._servers.commands)
        guard = msgspec.structs.replace(guard, scratch=str(self._scratch), memory_bytes=memory, unix_sockets=sockets)
        return resolved(guard)

    async def run(self, envelope: Envelope, *, arm: Arm, attempt: int = 1) -> Observation:
        """Run one envelope on one arm. From the second attempt on it runs in a process of its own.

        Raises:
            UnknownCandidateError: no target for that arm.
        """
        target = self.targets.get(arm) or (envelope.query.entry if arm == INCUMBENT else "")
        if not target:
            raise UnknownCandidateError(arm, experiment=envelope.experiment, known=self.targets)
        if self._rate is not None and not await self._rate.enter(self._ends(self._epoch)):
            failure = Failure(kind="killed", message="it did not begin: the rate of runs is limited")
            now = datetime.now(UTC)
            return Observation(
                query_id=envelope.id, arm=arm, place="shadow", failure=failure, started_at=now, duration=0.0
            )
        return await self._runner(arm, target).run(envelope, alone=attempt > 1)

    def _ends(self, epoch: int) -> Callable[[], bool]:
        """Whether what has not begun since is not to begin: it was cancelled, all is to end, or it is held."""
        now = asyncio.get_running_loop().time
        return lambda: self._draining or epoch != self._epoch or now() < self._held_until

    async def cancel(self, arm: Arm | None = None) -> None:
        """Kill what is in flight or waits, of one arm or of all, at once. Those runs end as `killed`."""
        self._epoch += 1
        for (of, _), runner in self._runners.items():
            if arm is None or of == arm:
                runner.cancel()

    def _strike(self) -> None:
        for runner in list(self._runners.values()):
            runner.strike()

    def drain(self) -> None:
        """Begin no further run, of any arm: those that wait for their turn end as `killed`, those that run go on."""
        self._draining = True
        for runner in self._runners.values():
            runner.drain()

    def hold(self, seconds: float) -> None:
        """For so long no run begins, of any arm; those that run go on, those that wait for their turn keep it."""
        self._held_until = max(self._held_until, asyncio.get_running_loop().time() + seconds)
        for runner in self._runners.values():
            runner.throttle.hold(self._held_until)

    @property
    def capacity(self) -> int:
        """How many runs may be in flight."""
        runners = self._runners.values()
        later = 0 if any(runner.arm == INCUMBENT for runner in runners) else self.processes
        return sum(runner.throttle.most for runner in runners) + later

    @property
    def throttles(self) -> dict[Arm, int]:
        """How often each arm met a rate limit."""
        met: dict[Arm, int] = {}
        for (arm, _), runner in self._runners.items():
            met[arm] = met.get(arm, 0) + runner.throttle.hits
        return met

    @property
    def remarks(self) -> dict[Arm, tuple[str, ...]]:
        """For the log at start-up: what contains an arm's processes, and what is unusual about them.

        Unusual are threads, for instance, that its libraries started at import, and what the import was refused.
        """
        return {
            arm: (runner.containment, *runner.fork_server.ready.remarks, *runner.fork_server.refused)
            for (arm, _), runner in self._runners.items()
            if runner.fork_server.ready is not None
        }

    @property
    def conduct(self) -> dict[Arm, tuple[str, ...]]:
        """Of each arm, why processes were given up, and what was refused between runs; empty where nothing was."""
        return {arm: runner.conduct for (arm, _), runner in self._runners.items() if runner.conduct}


def _made_scratch(inside: Path | None) -> Path:
    return Path(tempfile.mkdtemp(prefix="shadoweval-", dir=inside)).resolve()
