"""The command `worker`: run candidates on mirrored queries."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from shadoweval.cli.bars import bar
from shadoweval.cli.control import endings
from shadoweval.cli.output import say
from shadoweval.errors import ShadowEvalError, StoreError
from shadoweval.evaluation.alerts import webhooks
from shadoweval.evaluation.conditions import Watch
from shadoweval.evaluation.courier import Courier
from shadoweval.experiment import Experiment
from shadoweval.logs import about
from shadoweval.priority import idle, step_back
from shadoweval.records import INCUMBENT, Arm
from shadoweval.worker.heartbeat import Heart, heart_of
from shadoweval.worker.loop import Worker
from shadoweval.worker.monitor import Monitor
from shadoweval.worker.opening import candidate_pool, exclusive, open_receiver, open_store
from shadoweval.worker.patience import Patience
from shadoweval.worker.resting import Resting
from shadoweval.worker.retention import Retention
from shadoweval.worker.tracing import exporting

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool
    from shadoweval.store import SqlStore
    from shadoweval.transport import SpoolReceiver

__all__ = ["worker"]

_ENOUGH = 60.0
"""Seconds for which `--until-idle` waits for a store: nobody may be there to see it wait."""


def worker(options: argparse.Namespace) -> int:
    """Run candidates until stopped, or until nothing is left; whatever else runs on this machine goes first."""
    if options.idle and not idle():
        raise ShadowEvalError("This system can't run a process only while nothing else runs. Leave --idle out.")
    step_back()
    experiment: Experiment = options.experiment
    counts = asyncio.run(_work(experiment, until_idle=options.until_idle, processes=options.processes))
    options.answer.add(experiment=experiment.name, counts=counts)
    said = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if n) or "nothing to do"
    say(f"{experiment.name}: {said}")
    return 0


def _processes(pool: CandidatePool) -> dict[Arm, tuple[str, ...]]:
    """Of each arm, what contains its processes, what is unusual about them, and why some were given up."""
    conduct = pool.conduct
    return {arm: (*remarks, *conduct.get(arm, ())) for arm, remarks in pool.remarks.items()}


def _say_each(sentences: Mapping[Arm, Iterable[str]]) -> None:
    for arm, each in sentences.items():
        for sentence in each:
            say(f"{arm}: {sentence}")


async def _work(experiment: Experiment, *, until_idle: bool, processes: int) -> Counter[str]:
    """Work; how much of what came of it (`Worker.counts`)."""
    arms = list(experiment.candidates)
    if experiment.incumbent is not None and experiment.rerun > 0:
        arms.append(INCUMBENT)
    counts, receivers = Counter[str](), webhooks(experiment)
    with (
        about(experiment=experiment.name),
        exclusive(experiment.settings.folder, f"worker-{experiment.name}.lock"),
        heart_of(experiment) as heart,
        Courier(experiment, receivers),
        Watch(experiment, receivers, worker=False),
    ):
        patience = Patience(limit=_ENOUGH if until_idle else None)
        async with _beating(heart, patience) as working:
            with await _opened(experiment, patience) as store:
                async with candidate_pool(experiment, arms=arms, processes=processes, store=store) as pool:
                    _say_each(pool.remarks)
                    counts = await _shadow(experiment, store=store, pool=pool, working=working, until_idle=until_idle)
                    _say_each(pool.conduct)
    return counts


@contextlib.asynccontextmanager
async def _beating(heart: Heart, patience: Patience) -> AsyncGenerator[list[Worker]]:
    """Signs of life, from before the pool is made; of the worker's own once it is in the list that this gives."""
    working: list[Worker] = []
    signs = asyncio.create_task(heart.beat_on(lambda: working[0].pulse() if working else (0, patience.trouble)))
    try:
        yield working
    finally:
        signs.cancel()
        if working:
            heart.beat(*working[0].pulse())


async def _opened(experiment: Experiment, patience: Patience) -> SqlStore:
    """The store, as soon as it is there: a server may start later than its workers."""
    while True:
        try:
            store = await asyncio.to_thread(open_store, experiment)
        except StoreError as error:
            await asyncio.sleep(patience.failed(error))
        else:
            patience.over()
            return store


def _resting(experiment: Experiment, receiver: SpoolReceiver) -> Resting | None:
    """Not with `--until-idle`: what is worked off once has no resting minutes to be compared with."""
    if not experiment.sandbox.rest:
        return None
    limits = experiment.admission.breaker.limits
    return Resting(
        experiment.name,
        folder=experiment.settings.folder,
        share=experiment.sandbox.rest,
        durations=lambda: Counter(receiver.histogram("mirrored")) + Counter(receiver.histogram("control")),
        slower=limits.slower,
        slack=limits.slack,
    )


async def _show(worker: Worker, store: SqlStore, advance: Callable[[int, int], object]) -> None:
    """How many runs have ended, of those that the store knows of by now."""
    experiment = worker.experiment
    while True:
        with contextlib.suppress(StoreError, OSError):  # the worker itself waits for it, and says so
            waiting = await asyncio.to_thread(
                lambda: sum(store.funnel(experiment.name, arm).waiting for arm in experiment.candidates)
            )
            done = worker.counts["observations"]
            advance(done, done + waiting)
        await asyncio.sleep(0.5)


async def _shadow(
    experiment: Experiment, *, store: SqlStore, pool: CandidatePool, working: list[Worker], until_idle: bool
) -> Counter[str]:
    spans, receiver = exporting(experiment.name), open_receiver(experiment)
    worker = Worker(
        experiment,
        store=store,
        receiver=receiver,
        pool=pool,
        on_observation=spans,
        monitor=Monitor(experiment, counters=receiver.counters, processes=partial(_processes, pool)),
        retention=Retention(experiment, store=store),
        resting=None if until_idle else _resting(experiment, receiver),
    )
    working.append(worker)
    loop = asyncio.get_running_loop()
    for sign in endings():
        loop.add_signal_handler(sign, worker.stop)
    say(f"{experiment.name}: shadowing {', '.join(experiment.candidates)}; stop with Ctrl-C")
    with bar(f"{experiment.name}: runs") as advance:
        shown = asyncio.create_task(_show(worker, store, advance)) if until_idle and advance is not None else None
        counts = await worker.run(until_idle=until_idle)
        if shown is not None:
            shown.cancel()
    if spans is not None:
        spans.close()
    return counts
