"""The commands about what is stored: `status`, `labels`, `erase`, `purge`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from shadoweval.cli.control import say
from shadoweval.clock import parse_span, utc_now
from shadoweval.errors import ShadowEvalError
from shadoweval.experiment import Experiment
from shadoweval.protocols import Receiver, Store
from shadoweval.records import Coverage
from shadoweval.traffic.kill_audit import KillAuditor
from shadoweval.transport.segments import trouble
from shadoweval.worker.monitor import read_processes
from shadoweval.worker.opening import open_receiver, open_store
from shadoweval.worker.retention import erase_unit, purge_before, retention_of

__all__ = ["erase", "labels", "purge", "status", "status_lines"]


def status(options: argparse.Namespace) -> int:
    """Say whether it runs, what was mirrored, and what became of it."""
    experiment: Experiment = options.experiment
    with open_store(experiment) as store:
        for line in status_lines(experiment, store=store, receiver=open_receiver(experiment)):
            say(line)
    return 0


def labels(options: argparse.Namespace) -> int:
    """Join labels that came later."""
    from shadoweval.evaluation.cases import labels_of, read_cases  # noqa: PLC0415 - this command alone needs it

    cases = read_cases(options.cases)
    with open_store(options.experiment) as store:
        changed = store.add_labels(labels_of(cases))
    say(f"{len(cases)} cases read, {changed} labels new or changed")
    return 0


def erase(options: argparse.Namespace) -> int:
    """Delete what a user asked, or what is old."""
    experiment: Experiment = options.experiment
    if not options.unit and not options.before:
        raise ShadowEvalError("Nothing to erase was named. Give --unit ID, or --before 30d.")
    with open_store(experiment) as store:
        if options.unit:
            count = erase_unit(experiment, options.unit, store=store)
            say(f"erased {count} queries of unit {options.unit!r}")
        if options.before:
            before = utc_now() - parse_span(options.before, name="--before")
            count = purge_before(experiment, before, store=store)
            say(f"erased {count} queries older than {options.before}")
    return 0


def purge(options: argparse.Namespace) -> int:
    """Delete what is older than the settings allow."""
    experiment: Experiment = options.experiment
    age = parse_span(options.before, name="--before") if options.before else retention_of(experiment)
    if age is None:
        raise ShadowEvalError("How old is old? Write retention = '30d' into shadoweval.toml, or give --before 30d.")
    with open_store(experiment) as store:
        count = purge_before(experiment, utc_now() - age, store=store)
    say(f"purged {count} queries older than {options.before or experiment.settings.retention}")
    return 0


def status_lines(experiment: Experiment, *, store: Store, receiver: Receiver) -> Iterator[str]:
    """One line for the switch, one for the mirror, one for each candidate, and alarms."""
    yield from _stopped(experiment)
    counters = receiver.counters()
    yield f"  eligible {counters.get('eligible', 0):,}, mirrored {counters.get('mirrored', 0):,}"
    losses = sorted((n, name) for name, n in counters.items() if name not in {"eligible", "mirrored"})
    for n, name in reversed(losses):
        yield f"    {name}: {n:,}"
    message = trouble(experiment.spool)
    if message is not None:
        yield f"  ALARM: {message}"
    silence = experiment.admission.selftest.check(counters)
    if silence is not None:
        yield f"  {'silent, as asked' if silence.meant else 'ALARM'}: {silence}"
    processes = read_processes(experiment.settings.folder, experiment.name)
    for name in experiment.candidates:
        yield _candidate(name, store.funnel(experiment.name, name))
        yield from (f"    {sentence}" for sentence in processes.get(name, ()))
    for evaluation in store.evaluations(experiment.name):
        for verdict in evaluation.verdicts:
            when = f"{evaluation.created_at:%Y-%m-%d %H:%M:%S} UTC"
            yield f"  last verdict on {verdict.candidate}: {verdict.decision} ({verdict.why}), {when}"


def _stopped(experiment: Experiment) -> Iterator[str]:
    auditor = KillAuditor(experiment.admission.switch)
    why = auditor.poll()
    auditor.settle()
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
    alike = f"\n  ALARM: {funnel.alike}" if funnel.alike else ""
    paired = f"{funnel.paired:,} paired ({funnel.distinct:,} different)"
    return f"  {name}: {paired}, {funnel.waiting:,} waiting{tail}{gap}{alike}"
