"""The command `worker`: run candidates on mirrored queries."""

from __future__ import annotations

import argparse
import asyncio
import signal
from functools import partial
from typing import TYPE_CHECKING

from shadoweval.cli.control import say
from shadoweval.errors import ShadowEvalError
from shadoweval.experiment import Experiment
from shadoweval.priority import idle, step_back
from shadoweval.records import INCUMBENT, Arm
from shadoweval.worker.loop import Worker
from shadoweval.worker.monitor import Monitor
from shadoweval.worker.opening import candidate_pool, exclusive, open_receiver, open_store
from shadoweval.worker.retention import Retention
from shadoweval.worker.tracing import exporting

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = ["worker"]


def worker(options: argparse.Namespace) -> int:
    """Run candidates until stopped, or until nothing is left; whatever else runs on this machine goes first."""
    if options.idle and not idle():
        raise ShadowEvalError("This system can't run a process only while nothing else runs. Leave --idle out.")
    step_back()
    asyncio.run(_work(options.experiment, until_idle=options.until_idle, processes=options.processes))
    return 0


def _processes(pool: CandidatePool) -> dict[Arm, tuple[str, ...]]:
    """Of each arm, what contains its processes, what is unusual about them, and why some were given up."""
    conduct = pool.conduct
    return {arm: (*remarks, *conduct.get(arm, ())) for arm, remarks in pool.remarks.items()}


async def _work(experiment: Experiment, *, until_idle: bool, processes: int) -> None:
    arms = list(experiment.candidates)
    if experiment.incumbent is not None and experiment.rerun > 0:
        arms.append(INCUMBENT)
    with exclusive(experiment.settings.folder, f"worker-{experiment.name}.lock"), open_store(experiment) as store:
        async with candidate_pool(experiment, arms=arms, processes=processes) as pool:
            for arm, remarks in pool.remarks.items():
                for remark in remarks:
                    say(f"{arm}: {remark}")
            spans = exporting(experiment.name)
            receiver = open_receiver(experiment)
            working = Worker(
                experiment,
                store=store,
                receiver=receiver,
                pool=pool,
                on_observation=spans,
                monitor=Monitor(experiment, counters=receiver.counters, processes=partial(_processes, pool)),
                retention=Retention(experiment, store=store),
            )
            loop = asyncio.get_running_loop()
            for sign in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(sign, working.stop)
            say(f"{experiment.name}: shadowing {', '.join(experiment.candidates)}; stop with Ctrl-C")
            counts = await working.run(until_idle=until_idle)
            if spans is not None:
                spans.close()
            for arm, sentences in pool.conduct.items():
                for sentence in sentences:
                    say(f"{arm}: {sentence}")
    say(f"{experiment.name}: {', '.join(f'{n} {name}' for name, n in sorted(counts.items()) if n) or 'nothing to do'}")
