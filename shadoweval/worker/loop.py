"""The worker: takes envelopes out of the transport, runs candidates, keeps what they did.

Kill it at any moment: an envelope leaves the transport only once the store holds it, a task is closed only by its
observation, and both are kept once however often they come.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from shadoweval.candidate.sandbox import LONGEST
from shadoweval.experiment import Experiment
from shadoweval.mirror.redaction.redactor import redacted_observation
from shadoweval.protocols import Receiver, Store, Task
from shadoweval.records import Envelope, Observation
from shadoweval.seldom import Seldom
from shadoweval.worker.ingestion import Ingestion
from shadoweval.worker.monitor import Monitor
from shadoweval.worker.retention import Retention

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = ["Worker"]

log: Final = logging.getLogger(__name__)

_USD: Final = 2
"""Where a budget's limits have its dollars."""
_seldom: Final = Seldom()
_POLL: Final = 0.05
"""Seconds between polls of transport and kill switch while there is work; ten times as long when there is none."""


class Worker:
    """Shadows one experiment.

    The pool is entered already. `on_observation` is called with each stored observation (`tracing.SpanExporter`) and
    must not raise. Without a monitor nobody checks switch and mirrors (a suite of cases), without a retention nobody
    purges.
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
    ) -> None:
        self._warned_of_prices = False
        self.experiment = experiment
        self.counts: Counter[str] = Counter()
        """envelopes, set_aside, observations, failed, ended_by_shadow, killed; since this worker began."""
        self._store, self._pool = store, pool
        self._ingestion = Ingestion(experiment, store=store, receiver=receiver, counts=self.counts)
        self._on_observation, self._monitor, self._retention = on_observation, monitor, retention
        self._owner = f"{socket.gethostname()}:{os.getpid()}"
        self._in_flight: dict[asyncio.Task[None], datetime] = {}
        """Runs, and when their queries were asked."""
        self._spent: str | None = None
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Take no further work; what runs is finished, what waits for a rate limit to pass is given back."""
        self._stop.set()
        self._pool.drain()

    async def run(self, *, until_idle: bool = False) -> Counter[str]:
        """Work until `stop`, or, with `until_idle`, until nothing is left. Returns `counts`."""
        self._reclaim()
        try:
            while not self._stop.is_set():
                busy = self.ingest() > 0
                if self._retention is not None:
                    self._retention.step()
                if self.experiment.admission.switch.killed():
                    await self._cancel()
                elif not self._budget_spent():
                    busy = self._start() > 0 or busy
                if self._monitor is not None:
                    self._monitor.step(throttles=self._throttles(), oldest=min(self._in_flight.values(), default=None))
                if not busy and not self._in_flight and until_idle:
                    break
                await self._pause(_POLL if busy or self._in_flight else 10 * _POLL)
            await self._settle()
        finally:
            for run in self._in_flight:
                run.cancel()
            self._ingestion.keep_counters()
            if self._monitor is not None:
                self._monitor.end(throttles=self._throttles())
        return self.counts

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

    def _reclaim(self) -> None:
        """Take over at once what a worker of this host that was killed had leased."""
        here = socket.gethostname()
        for owner in self._store.owners(self.experiment.name):
            host, _, process = owner.rpartition(":")
            if host == here and process.isdigit() and not _is_alive(int(process)):
                count = self._store.reopen(self.experiment.name, owner)
                log.info("took over from a dead worker", extra={"owner": owner, "tasks": count})

    def ingest(self) -> int:
        """Move envelopes from the transport into the store. Returns how many frames were taken."""
        return self._ingestion.step()

    def _start(self) -> int:
        room = self._pool.capacity - len(self._in_flight)
        if room <= 0:
            return 0
        limits = self.experiment.sandbox.limits
        seconds = LONGEST * limits.first_seconds + limits.grace + 60
        tasks = list(self._store.lease(self.experiment.name, limit=room, seconds=seconds, owner=self._owner))
        random.shuffle(tasks)
        for task in tasks:
            run = asyncio.create_task(self._run(task))
            self._in_flight[run] = task.envelope.query.asked_at
            run.add_done_callback(self._in_flight.pop)
        return len(tasks)

    async def _run(self, task: Task) -> None:
        observation = await self._pool.run(task.envelope, arm=task.arm, attempt=task.attempt)
        self._charge(observation)  # also of a run that was broken off: its tokens are gone
        failure = observation.failure
        # What has written is not run again: it would write again.
        if failure is not None and failure.kind == "killed" and not observation.live_writes:
            self.counts["killed"] += 1
            self._store.release(task)
            return
        if self.experiment.redact is not None:
            observation = redacted_observation(observation, self.experiment.redact)
        new = self._store.add_observation(observation)
        self.counts["observations"] += new
        if new and self._on_observation is not None:
            self._on_observation(task.envelope, observation)
        self.counts["failed"] += observation.failed
        if failure is not None and observation.owner == "shadow":
            self._tell(observation)

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
            await asyncio.gather(*self._in_flight)

    async def _pause(self, seconds: float) -> None:
        """Wait, or less: until a run ends or the worker is stopped."""
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stopping, *self._in_flight}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()  # and awaited, so that no task outlives the pause
        with contextlib.suppress(asyncio.CancelledError):
            await stopping


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True
