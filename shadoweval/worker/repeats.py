"""Runs an arm again on the same query, for what is said of several runs (`scoring.consistency`).

The further runs lie in the observation of the first: they are stored, redacted and erased with it, and no pair is half.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from shadoweval.buckets import within
from shadoweval.experiment import Experiment
from shadoweval.records import Envelope, Observation

__all__ = ["repeats_of", "rerun_drawn", "with_repeats"]


def rerun_drawn(experiment: Experiment, envelope: Envelope) -> bool:
    """Whether the incumbent is run again on this query, which the query's id decides."""
    known = experiment.incumbent or envelope.query.entry.partition(":")[0]
    return bool(known) and within(experiment.rerun, "rerun", envelope.id)


def repeats_of(experiment: Experiment, envelope: Envelope) -> int:
    """How many more times each arm runs this query."""
    return experiment.sandbox.repeats if rerun_drawn(experiment, envelope) else 0


async def with_repeats(first: Observation, again: Callable[[], Awaitable[Observation]], *, times: int) -> Observation:
    """The first run with further ones in it. One that has written is not repeated, nor one that a kill has ended."""
    runs: list[Observation] = []
    for _ in range(times):
        last = runs[-1] if runs else first
        if last.live_writes or (last.failure is not None and last.failure.kind == "killed"):
            break
        runs.append(await again())
    writes = first.live_writes + sum(run.live_writes for run in runs)
    return msgspec.structs.replace(first, again=tuple(runs), live_writes=writes)
