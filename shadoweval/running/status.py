"""What `shadoweval status` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from shadoweval.experiment import Experiment
from shadoweval.protocols import Receiver, Store
from shadoweval.records import Coverage

__all__ = ["alarm", "status_lines"]

_INERT: Final = frozenset({"off", "killed", "not_sampled", "control", "nested"})


def alarm(counters: Mapping[str, int]) -> str | None:
    """What is wrong when calls are eligible and none is mirrored: the most frequent reason; None: nothing is."""
    if not counters.get("eligible") or counters.get("mirrored"):
        return None
    losses = {name: n for name, n in counters.items() if name not in {"eligible", "mirrored"}}
    if not losses:
        return f"{counters['eligible']:,} calls were eligible, none is mirrored, and none says why"
    worst = max(losses, key=lambda name: losses[name])
    meant = " (as asked)" if worst in _INERT else ""
    return (
        f"{counters['eligible']:,} calls were eligible and none was mirrored; {losses[worst]:,} times: {worst}{meant}"
    )


def status_lines(experiment: Experiment, *, store: Store, receiver: Receiver) -> Iterator[str]:
    """One line for the switch, one for the mirror, one for each candidate, and alarms."""
    yield f"{experiment.name}: {'KILLED' if experiment.switch.killed() else 'running'}"
    counters = receiver.counters()
    yield f"  eligible {counters.get('eligible', 0):,}, mirrored {counters.get('mirrored', 0):,}"
    losses = sorted((n, name) for name, n in counters.items() if name not in {"eligible", "mirrored"})
    for n, name in reversed(losses):
        yield f"    {name}: {n:,}"
    found = alarm(counters)
    if found:
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
