"""The worker: takes envelopes out of the transport, runs candidates, keeps what they did.

Kill it at any moment: an envelope leaves the transport only once the store holds it, a task is closed only by its
observation, and both are kept once however often they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from shadoweval.candidate.run import unbegun
from shadoweval.candidate.sandbox import LONGEST
from shadoweval.errors import StoreError, UnstorableError
from shadoweval.experiment import Experiment
from shadoweval.logs import about, logger
from shadoweval.mirror.redaction.redactor import redacted_observation
from shadoweval.protocols import Receiver, Store, Task
from shadoweval.records import INCUMBENT, Envelope, Observation
from shadoweval.seldom import Seldom
from shadoweval.worker.ingestion import Ingestion
from shadoweval.worker.keeping import Keeping
from shadoweval.worker.monitor import Monitor
from shadoweval.worker.ownership import Ownership
from shadoweval.worker.patience import Patience
from shadoweval.worker.repeats import repeats_of, with_repeats
from shadoweval.worker.resting import Resting
from shadoweval.worker.retention import Retention
from shadoweval.worker.store_thread import StoreThread

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = ["Worker"]

log: Final = logger(__name__)

_USD: Final = 2
"""Where a budget's limits have its dollars."""
_ENOUGH: Final = 60.0
_seldom: Final = Seldom()
_POLL: Final = 0.05
"""Seconds between polls of transport and kill switch while there is work; ten times as long when there is none."""


class Worker:
    """Shadows one experiment.

    The pool is entered already. `on_observation` is called with each stored observation (`tracing.SpanExporter`) and
    must not raise. Without a monitor nobody checks switch and mirrors (a suite of cases), without a retention nobody
    purges, without `resting` no minute is one of rest.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        store: Store,
        receiver: Receiver,
        pool: CandidatePool,
        on_observation: Callable[[Envelope, Observation], None] | None = None,
        monitor: Monitor | None = None,
        retention: Retention | None = None,
        resting: Resting | None = None,
    ) -> None:
        self._warned_of_prices = False
        self.experiment = experiment
        self.counts: Counter[str] = Counter()
        """envelopes, set_aside, observations, failed, ended_by_shadow, killed; since this worker began."""
        self._store, self._pool = store, pool
        self._ingestion = Ingestion(experiment, store=store, receiver=receiver, counts=self.counts)
        self._on_observation, self._monitor, self._retention = on_observation, monitor, retention
        self._resting = resting
        self._ownership = Ownership(experiment, store=store)
        limits = experiment.sandbox.limits
        self._longest = (1 + experiment.sandbox.repeats) * (LONGEST * limits.first_seconds + limits.grace) + 60
        self._in_flight: dict[asyncio.Task[None], datetime] = {}
        """Runs, and when their queries were asked."""
        self._spent: str | None = None
        self._unsure = False
        """Whether the store may hold leases for this worker that never reached it."""
        self._reclaimed = False
        self._stop = asyncio.Event()
        self._patience, self._thread = Patience(), StoreThread(self._stop)
        self._keeping = Keeping(store, thread=self._thread)
        self._fault: BaseException | None = None
        """What ended a run's keeping for good."""
        self._cancelling: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Take no further work; what runs is finished, what waits for a rate limit to pass is given back.

        Asked a second time, what runs is given back too.
        """
        if self._stop.is_set():
            self._cancelling = asyncio.get_running_loop().create_task(self._pool.cancel())
        self._stop.set()
        self._pool.drain()

    async def run(self, *, until_idle: bool = False) -> Counter[str]:
        """Work until `stop`, or, with `until_idle`, until nothing is left. Returns `counts`.

        What passes is waited for (`patience.Patience`); with `until_idle` for a minute at most.

        Raises:
            StoreError, OSError: of a kind that does not pass.
        """
        if until_idle:
            self._patience = Patience(limit=_ENOUGH)
        try:
            while not self._stop.is_set():
                try:
                    busy = await self._turn()
                except (StoreError, OSError) as error:
                    await self._pause(self._patience.failed(error))
                    continue
                if not self._unsure:  # else nothing was asked of the store
                    self._patience.over()
                if until_idle and not busy and not self._in_flight and self._ingestion.caught_up():
                    break
                await self._pause(_POLL if busy or self._in_flight or until_idle else 10 * _POLL)
            await self._settle()
        finally:
            for run in self._in_flight:
                run.cancel()
            self._ownership.fall_silent()
            await self._thread.last_calls(self._ingestion.keep_counters, self._sign_off)  # else spool and time tell
            if self._monitor is not None:
                self._monitor.end(throttles=self._throttles())
        return self.counts

    def _sign_off(self) -> None:
        self._ownership.end(signed_off=not self._in_flight and not self._unsure)

    async def _turn(self) -> bool:
        """One round of all there is to do. Whether there was anything."""
        if self._fault is not None:
            raise self._fault
        killed = self.experiment.admission.switch.killed()  # first, and whatever the store does
        if killed:
            await self._cancel()
        self._rest()
        lost = self._unsure and not self._in_flight
        if not self._reclaimed or self._keeping.trouble or lost or self._ownership.due():
            await self._thread.call(lambda: self._ownership.reclaim(lost=lost))
            self._reclaimed, self._unsure = True, self._unsure and not lost
        busy = await self._thread.call(self.ingest) > 0
        if self._retention is not None:
            await self._thread.call(self._retention.step)
        if not killed and not self._unsure and not self._budget_spent():
            busy = await self._start() > 0 or busy
        if self._monitor is not None:
            self._monitor.step(throttles=self._throttles(), oldest=min(self._in_flight.values(), default=None))
        return busy

    def _rest(self) -> None:
        """In a minute of rest what waits for its turn goes on waiting."""
        if self._resting is not None:
            self._resting.step()
            left = self._resting.left()
            if left:
                self._pool.hold(left)

    def pulse(self) -> tuple[int, str]:
        """How many frames were taken in and runs ended so far, and what is waited for; see `heartbeat.Heart.beat`."""
        return sum(
            self.counts[name] for name in ("envelopes", "set_aside", "observations")
        ), self._patience.trouble or self._keeping.trouble

    def _throttles(self) -> int:
        return sum(self._pool.throttles.values())

    def _budget_spent(self) -> bool:
        """Whether candidates and re-runs of the incumbent have used up the day's tokens or dollars."""
        spent = self.experiment.admission.budget.reason(runs=True)
        if spent is not None and self._spent is None:
            log.warning(
                "the budget is spent: nothing is run until tomorrow (UTC)",
                extra={"experiment": self.experiment.name, "shadow": True, "why": spent},
            )
        self._spent = spent
        return spent is not None

    def ingest(self) -> int:
        """Move envelopes from the transport into the store. Returns how many frames were taken."""
        return self._ingestion.step()

    async def _start(self) -> int:
        room = self._pool.capacity - len(self._in_flight)
        if self._resting is not None:
            room = self._resting.room(room)
        if room <= 0:
            return 0
        try:
            tasks = await self._thread.call(lambda: self._ownership.lease(room, seconds=self._longest))
        except StoreError:  # it may have granted them before it broke
            self._unsure = True
            raise
        random.shuffle(tasks)
        if self._resting is not None:
            self._resting.begun(len(tasks))
        for task in tasks:
            run = asyncio.create_task(self._run(task))
            self._in_flight[run] = task.envelope.query.asked_at
            run.add_done_callback(self._ended)
        return len(tasks)

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._in_flight.pop(run)
        error = None if run.cancelled() else run.exception()
        if isinstance(error, StoreError) and not isinstance(error, UnstorableError):
            self._fault = error
        elif error is not None:
            log.error("a run's end can't be kept: its lease runs out, then it is run again", exc_info=error)

    async def _run(self, task: Task) -> None:
        with about(**({} if task.arm == INCUMBENT else {"candidate": task.arm})):
            await self._run_task(task)

    async def _run_task(self, task: Task) -> None:
        observation = await self._observed(task)
        failure = observation.failure
        # What has written is not run again: it would write again.
        if failure is not None and failure.kind == "killed" and not observation.live_writes:
            self.counts["killed"] += 1
            await self._keeping.release(task)
            return
        times = repeats_of(self.experiment, task.envelope)
        if times:
            observation = await with_repeats(observation, partial(self._observed, task), times=times)
        if self.experiment.redact is not None:
            observation = redacted_observation(observation, self.experiment.redact)
        stored = await self._keeping.add(observation)
        if stored is not None:
            self.counts["observations"] += 1
            if self._on_observation is not None:
                self._on_observation(task.envelope, stored)
        observation = stored or observation
        self.counts["failed"] += observation.failed
        if observation.failed and observation.owner == "shadow":
            self._tell(observation)

    async def _observed(self, task: Task) -> Observation:
        """What the arm did; where our own code fails over a task, the shadow did."""
        try:
            observation = await self._pool.run(task.envelope, arm=task.arm, attempt=task.attempt)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one task, it must not be tried for ever
            return msgspec.structs.replace(unbegun(error), query_id=task.envelope.id, arm=task.arm)
        self._charge(observation)  # also of a run that was broken off: its tokens are gone
        return observation

    def _tell(self, observation: Observation) -> None:
        """Count a run that the shadow ended, and say now and then what does so and how to mend it."""
        self.counts["ended_by_shadow"] += 1
        failure = observation.failure
        if failure is not None and _seldom.due((observation.arm, failure.cause)):
            facts = {"arm": observation.arm, "why": failure.cause or failure.kind, "mend": failure.mend}
            log.warning("the shadow, not the pipeline, ended a run", extra=facts)

    def _charge(self, observation: Observation) -> None:
        used = observation.usage
        tokens = (used.input_tokens or 0) + (used.output_tokens or 0)
        if tokens or used.cost_usd:
            self.experiment.admission.budget.charge(tokens=tokens, usd=used.cost_usd or 0.0)
        unpriced = tokens and used.cost_usd is None and self.experiment.admission.budget.limits[_USD] is not None
        if unpriced and not self._warned_of_prices:
            self._warned_of_prices = True
            log.warning(
                "Tokens were used and nobody said what they cost: the budget in dollars can't hold. "
                "Give `Sandbox(limits=Limits(prices={model: (dollars for a million tokens in, out)}))`.",
                extra={"experiment": self.experiment.name, "arm": observation.arm},
            )

    async def _cancel(self) -> None:
        if self._in_flight:
            await self._pool.cancel()
            await self._settle()

    async def _settle(self) -> None:
        if self._in_flight:
            await asyncio.gather(*self._in_flight, return_exceptions=True)
        if self._fault is not None:
            raise self._fault

    async def _pause(self, seconds: float) -> None:
        """Wait, or less: until a run ends or the worker is stopped."""
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, *self._in_flight}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()  # and awaited, so that no task outlives the pause
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
