"""The command `status`: for people, and by its exit code and `--json` for monitors."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from shadoweval.cli.home import is_unmade
from shadoweval.cli.output import say
from shadoweval.clock import Clock, utc_now
from shadoweval.errors import StoreError
from shadoweval.evaluation.courier import untold_sentences
from shadoweval.evaluation.schedule import overdue_sentences, plans_of
from shadoweval.evaluation.windows import sentence_of, window_of
from shadoweval.experiment import Experiment
from shadoweval.protocols import Receiver, Store
from shadoweval.records import Arm, Coverage
from shadoweval.traffic.kill_audit import KillAuditor
from shadoweval.transport.segments import trouble
from shadoweval.worker.health import Health, ago, health_of
from shadoweval.worker.monitor import read_processes
from shadoweval.worker.opening import open_receiver, open_store
from shadoweval.worker.rivals import rivals_of

__all__ = ["Status", "status", "status_lines", "status_of"]

_WELL: Final = 0
_ALARM: Final = 1
_NEVER: Final = 3


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that `status` says of an experiment in one home; `--json` prints it."""

    experiment: str
    home: str
    at: str
    exit_code: int
    """0 well, 1 there is an alarm, 3 nothing was ever mirrored into this home."""
    alarms: tuple[str, ...]
    killed_by: str | None
    budget_spent: str | None
    silent: str | None
    """Nothing is mirrored, as asked."""
    health: Health
    counters: Mapping[str, int]
    candidates: Mapping[Arm, Coverage]
    processes: Mapping[Arm, Sequence[str]]
    windows: Mapping[Arm, str]
    """Where a window was begun: since when which queries count, by whose hand and why."""
    verdicts: tuple[str, ...]


def status(options: argparse.Namespace) -> int:
    """Say whether it runs, what was mirrored, and what became of it."""
    experiment: Experiment = options.experiment
    home, receiver = experiment.settings.folder, open_receiver(experiment)
    if home.exists() and not home.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(home))
    fault, seen = "", None
    try:
        if is_unmade(experiment):
            seen = status_of(experiment, store=None, receiver=receiver)
        else:
            with open_store(experiment) as store:
                seen = status_of(experiment, store=store, receiver=receiver)
    except StoreError as error:
        fault = str(error)
    seen = seen or status_of(experiment, store=None, receiver=receiver, fault=fault)
    candidates = {arm: {**msgspec.structs.asdict(each), "gap": each.gap} for arm, each in seen.candidates.items()}
    options.answer.add(**{**msgspec.structs.asdict(seen), "candidates": candidates})
    for line in _lines(seen):
        say(line)
    return seen.exit_code


def status_lines(experiment: Experiment, *, store: Store, receiver: Receiver) -> Iterator[str]:
    """One line for the switch, one for the mirror, one for each candidate, and alarms."""
    return _lines(status_of(experiment, store=store, receiver=receiver))


def status_of(
    experiment: Experiment, *, store: Store | None, receiver: Receiver, fault: str = "", clock: Clock = utc_now
) -> Status:
    """All that is known. Without a store: what the home alone knows; `fault` is why there is none."""
    settings, name, now, counters = experiment.settings, experiment.name, clock(), receiver.counters()
    killed, silence = _killed_by(experiment), None
    if counters:
        silence = experiment.admission.selftest.check(counters)
    coverage = {} if store is None else {arm: store.funnel(name, arm) for arm in experiment.candidates}
    tasks = max((each.waiting for each in coverage.values()), default=0)
    shared = not settings.store_url.startswith("sqlite:")  # then workers of other homes run them too
    health = health_of(settings.folder, name, now=now, tasks=0 if shared else tasks, killed=killed is not None)
    unmeant = silence is not None and not silence.meant
    alarms = [fault, trouble(experiment.spool) or "", str(silence) if unmeant else "", *health.alarms]
    for arm, each in coverage.items():
        settled = each.gap and health.state != "running"  # a worker counts a moment after it stores
        alarms += [each.alike, f"{arm}: {each.gap} calls are NOT ACCOUNTED FOR" if settled else ""]
    if store is not None:
        start = window_of(store, name, "")
        alarms += rivals_of(store, name, since=start and start.since)
        alarms += untold_sentences(store.outbox.untold(name), now)
        if experiment.schedules:
            plans = plans_of(experiment.schedules)
            alarms += overdue_sentences(plans, store.slots, experiment=name, now=now)
    told = tuple(filter(None, dict.fromkeys(alarms)))
    never = not (counters.get("eligible") or health.waiting.frames or any(e.mirrored for e in coverage.values()))
    return Status(
        experiment=name,
        home=str(settings.folder),
        at=now.isoformat(timespec="seconds"),
        exit_code=_ALARM if told else _NEVER if never else _WELL,
        alarms=told,
        killed_by=killed,
        budget_spent=_budget(experiment),
        silent=str(silence) if silence is not None and silence.meant else None,
        health=health,
        counters=counters,
        candidates=coverage,
        processes=read_processes(settings.folder, name),
        windows={} if store is None else dict(_windows(store, experiment)),
        verdicts=() if store is None else tuple(_verdicts(store, name)),
    )


def _killed_by(experiment: Experiment) -> str | None:
    if not experiment.settings.folder.is_dir():  # nor is one made, for the audit
        return experiment.admission.switch.reason()
    auditor = KillAuditor(experiment.admission.switch)
    why = auditor.poll()
    auditor.settle()
    return why


def _budget(experiment: Experiment) -> str | None:
    spent = experiment.admission.budget.reason()
    if spent is None:
        return None
    held = "no candidate runs" if experiment.admission.budget.reason(runs=True) else "what was mirrored is still run"
    return f"{spent}; nothing is mirrored and {held} until midnight UTC"


def _windows(store: Store, experiment: Experiment) -> Iterator[tuple[Arm, str]]:
    for arm in experiment.candidates:
        start = window_of(store, experiment.name, arm)
        if start is not None:
            yield arm, sentence_of(start)


def _verdicts(store: Store, name: str) -> Iterator[str]:
    for evaluation in store.evaluations(name):
        for verdict in evaluation.verdicts:
            when = f"{evaluation.created_at:%Y-%m-%d %H:%M:%S} UTC"
            yield f"last verdict on {verdict.candidate}: {verdict.decision} ({verdict.why}), {when}"


def _lines(seen: Status) -> Iterator[str]:
    state: str = seen.health.state
    if seen.exit_code == _NEVER:
        state = f"nothing was ever mirrored into this home: is it the application's? {state}"
    yield f"{seen.experiment}: {state if seen.killed_by is None else f'KILLED by {seen.killed_by}'} (home: {seen.home})"
    yield from _worker(seen)
    if seen.budget_spent is not None:
        yield f"  BUDGET SPENT: {seen.budget_spent}"
    yield f"  eligible {seen.counters.get('eligible', 0):,}, mirrored {seen.counters.get('mirrored', 0):,}"
    losses = sorted((n, name) for name, n in seen.counters.items() if name not in {"eligible", "mirrored"})
    for n, name in reversed(losses):
        yield f"    {name}: {n:,}"
    yield from (f"  ALARM: {alarm}" for alarm in seen.alarms)
    if seen.silent is not None:
        yield f"  silent, as asked: {seen.silent}"
    for name, coverage in seen.candidates.items():
        yield _candidate(name, coverage)
        if name in seen.windows:
            yield f"    {seen.windows[name]}; what was asked before counts no more"
        yield from (f"    {sentence}" for sentence in seen.processes.get(name, ()))
    yield from (f"  {verdict}" for verdict in seen.verdicts)


def _worker(seen: Status) -> Iterator[str]:
    now, beat, spool = utc_now(), seen.health.worker, seen.health.waiting
    if beat is not None:
        facts: list[Any] = [f"began {ago(beat.began_at, now)}", f"last progress {ago(beat.progress_at, now)}"]
        if beat.ended_at is not None:
            facts.append(f"ended {ago(beat.ended_at, now)}")
        else:
            facts.append(f"last sign {ago(beat.beat_at, now)}")
        yield f"  worker: process {beat.process} on {beat.host}, {', '.join(facts)}"
    oldest = f", the oldest asked {ago(spool.oldest, now)}" if spool.oldest else ""
    yield f"  spool: {spool.frames:,} waiting ({spool.bytes:,} bytes{oldest})"


def _candidate(name: str, funnel: Coverage) -> str:
    failed = ", ".join(f"{n:,} {reason}" for reason, n in funnel.failed.items())
    tail = f", failed: {failed}" if failed else ""
    gap = f", NOT ACCOUNTED FOR: {funnel.gap}" if funnel.gap else ""
    paired = f"{funnel.paired:,} paired ({funnel.distinct:,} different)"
    return f"  {name}: {paired}, {funnel.waiting:,} waiting{tail}{gap}"
