"""What `shadoweval status` says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from shadoweval.experiment import Experiment
from shadoweval.protocols import Receiver, Store
from shadoweval.records import Coverage
from shadoweval.traffic.watching import Witness
from shadoweval.transport.segments import trouble
from shadoweval.worker.opening import open_receiver, open_store

__all__ = ["status", "status_lines"]


def status(options: argparse.Namespace) -> int:
    """Say whether it runs, what was mirrored, and what became of it."""
    experiment: Experiment = options.experiment
    with open_store(experiment) as store:
        for line in status_lines(experiment, store=store, receiver=open_receiver(experiment)):
            sys.stdout.write(f"{line}\n")
    return 0


def status_lines(experiment: Experiment, *, store: Store, receiver: Receiver) -> Iterator[str]:
    """One line for the switch, one for the mirror, one for each candidate, and alarms."""
    yield from _stopped(experiment)
    counters = receiver.counters()
    yield f"  eligible {counters.get('eligible', 0):,}, mirrored {counters.get('mirrored', 0):,}"
    losses = sorted((n, name) for name, n in counters.items() if name not in {"eligible", "mirrored"})
    for n, name in reversed(losses):
        yield f"    {name}: {n:,}"
    told = trouble(experiment.spool)
    if told is not None:
        yield f"  ALARM: {told}"
    found = experiment.admission.selftest.look(counters)
    if found is not None:
        yield f"  {'silent, as asked' if found.meant else 'ALARM'}: {found}"
    for name in experiment.candidates:
        yield _candidate(name, store.funnel(experiment.name, name))
    for evaluation in store.evaluations(experiment.name):
        for verdict in evaluation.verdicts:
            when = f"{evaluation.created_at:%Y-%m-%d %H:%M:%S} UTC"
            yield f"  last verdict on {verdict.candidate}: {verdict.decision} ({verdict.why}), {when}"


def _stopped(experiment: Experiment) -> Iterator[str]:
    witness = Witness(experiment.admission.switch)
    why = witness.look()
    witness.settle()
    home = experiment.settings.folder
    yield f"{experiment.name}: {'running' if why is None else f'KILLED by {why}'} (home: {home})"
    spent = experiment.admission.budget.reason()
    if spent is not None:
        held = (
            "no candidate runs" if experiment.admission.budget.reason(runs=True) else "what was mirrored is still run"
        )
        yield f"  BUDGET SPENT: {spent}; nothing is mirrored and {held} until midnight UTC"


def _candidate(name: str, funnel: Coverage) -> str:
    failed = ", ".join(f"{n:,} {reason}" for reason, n in funnel.failed.items())
    tail = f", failed: {failed}" if failed else ""
    gap = f", NOT ACCOUNTED FOR: {funnel.gap}" if funnel.gap else ""
    return f"  {name}: {funnel.paired:,} paired ({funnel.distinct:,} different), {funnel.waiting:,} waiting{tail}{gap}"
