"""What `shadoweval status` says."""

from __future__ import annotations

from collections.abc import Iterator

from shadoweval.experiment import Experiment
from shadoweval.protocols import Receiver, Store
from shadoweval.records import Coverage
from shadoweval.traffic.selftest import silence

__all__ = ["status_lines"]


def status_lines(experiment: Experiment, *, store: Store, receiver: Receiver) -> Iterator[str]:
    """One line for the switch, one for the mirror, one for each candidate, and alarms."""
    yield f"{experiment.name}: {'KILLED' if experiment.switch.killed() else 'running'}"
    counters = receiver.counters()
    yield f"  eligible {counters.get('eligible', 0):,}, mirrored {counters.get('mirrored', 0):,}"
    losses = sorted((n, name) for name, n in counters.items() if name not in {"eligible", "mirrored"})
    for n, name in reversed(losses):
        yield f"    {name}: {n:,}"
    found = silence(counters)
    if found is not None:
        yield f"  ALARM: {found}"
    for name in experiment.candidates:
        yield _candidate(name, store.funnel(experiment.name, name))
    for evaluation in store.evaluations(experiment.name):
        for verdict in evaluation.verdicts:
            when = f"{evaluation.created_at:%Y-%m-%d %H:%M:%S} UTC"
            yield f"  last verdict on {verdict.candidate}: {verdict.decision} ({verdict.why}), {when}"


def _candidate(name: str, funnel: Coverage) -> str:
    failed = ", ".join(f"{n:,} {reason}" for reason, n in funnel.failed.items())
    tail = f", failed: {failed}" if failed else ""
    gap = f", NOT ACCOUNTED FOR: {funnel.gap}" if funnel.gap else ""
    return f"  {name}: {funnel.paired:,} paired ({funnel.distinct:,} different), {funnel.waiting:,} waiting{tail}{gap}"
