"""Whether an experiment's line works: what waits, who works on it, and what a person has to be told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from shadoweval.transport.waiting import Waiting, waiting
from shadoweval.worker.heartbeat import Beat, read_beat
from shadoweval.worker.resting import read_slowed

__all__ = ["Health", "ago", "health_of"]

State: TypeAlias = Literal["running", "no worker", "worker gives no sign"]

_SILENT: Final = timedelta(seconds=60)
"""Without a sign for so long a worker hangs; it gives one every five seconds, and waits ten for a lock."""
_LATE: Final = timedelta(minutes=5)
"""A frame that waits longer than this beside a living worker is told."""
_LOOP: Final = (3, timedelta(minutes=10))


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How one experiment's worker and spool in one home are."""

    state: State
    worker: Beat | None
    waiting: Waiting
    alarms: tuple[str, ...]


def health_of(folder: Path, name: str, *, now: datetime, tasks: int = 0, killed: bool = False) -> Health:
    """How the worker and the spool in the home `folder` are.

    Args:
        folder: The home.
        name: The experiment's.
        now: Aware.
        tasks: How many mirrored queries wait in the store for a run.
        killed: What waits does so because somebody asked for it.
    """
    beat, spool = read_beat(folder, name), waiting(folder / "spool" / name)
    state: State = "running"
    if beat is None or beat.ended_at is not None or beat.dead:
        state = "no worker"
    elif now - beat.beat_at > _SILENT:
        state = "worker gives no sign"
    slowed = read_slowed(folder, name).sentence
    alarms = tuple(_alarms(state, beat, spool, now=now, tasks=0 if killed else tasks, killed=killed))
    alarms = (*alarms, slowed) if slowed else alarms
    return Health(state=state, worker=beat, waiting=spool, alarms=alarms)


def _alarms(
    state: State, beat: Beat | None, spool: Waiting, *, now: datetime, tasks: int, killed: bool
) -> Iterator[str]:
    frames = 0 if killed else spool.frames
    if state == "no worker" and (frames or tasks):
        yield f"{frames:,} calls wait in the spool and {tasks:,} in the store, and no worker runs: start one"
    if beat is None:
        return
    if beat.dead:
        yield (
            f"the worker (process {beat.process}) died without a word after {beat.beat_at:%Y-%m-%d %H:%M:%S} UTC: "
            "was it killed, or out of memory?"
        )
    if beat.error:
        yield f"the last worker ended {ago(beat.ended_at, now)} by an error: {beat.error}"
    if state == "worker gives no sign":
        yield (
            f"the worker (process {beat.process} on {beat.host}) has given no sign for {_span(now - beat.beat_at)}: "
            "it is stopped (SIGSTOP), hangs, or can't write its home"
        )
    failures = len([at for at in (*beat.failures, *([beat.beat_at] if beat.dead else ())) if now - at < _LOOP[1]])
    if failures >= _LOOP[0]:
        yield f"workers died or failed {failures} times in the last ten minutes: look at what the last ones logged"
    if beat.trouble and state == "running":
        yield f"the worker waits for this to pass: {beat.trouble}"
    if state == "running" and frames and spool.oldest is not None and now - spool.oldest > _LATE:
        yield f"the oldest call in the spool has waited for {_span(now - spool.oldest)}: the worker doesn't keep up"


def ago(at: datetime | None, now: datetime) -> str:
    """How long before now, for people."""
    return "never" if at is None else f"{_span(now - at)} ago"


def _span(passed: timedelta) -> str:
    seconds = max(passed.total_seconds(), 0.0)
    for unit, size in (("days", 172_800), ("h", 7200), ("min", 120)):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"
