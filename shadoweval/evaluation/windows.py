"""From when on queries count: somebody begins a window, and the store remembers who did, when and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from shadoweval.checks import checked_moment, checked_truth
from shadoweval.errors import ArgumentError
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store, WindowStart
from shadoweval.records import Arm
from shadoweval.traffic.audit import user_name
from shadoweval.verdict.releases import Release
from shadoweval.verdict.trial import Trial
from shadoweval.worker.retention import kept_since, retention_of

_SETTLED: Final = 20
"""Pairs in a row of the new release alone before its window begins, where the old one came back meanwhile."""

__all__ = [
    "begin_release",
    "begin_window",
    "beginning",
    "sentence_of",
    "settled_release",
    "window_of",
    "window_sentences",
]


def beginning(
    since: datetime | timedelta | None, until: datetime | None, *, new_window: bool, now: datetime
) -> datetime | None:
    """Where `evaluate` begins a window; None: it begins none.

    Raises:
        ArgumentError: the times do not fit each other.
    """
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and not isinstance(moment, timedelta):
            checked_moment(f"evaluate({name})", moment)
    if isinstance(since, timedelta) and since <= timedelta(0):
        raise ArgumentError("evaluate(since)", since, expected="how long ago", mend="Write timedelta(hours=24).")
    if isinstance(since, datetime) and until is not None and since >= until:
        raise ArgumentError("evaluate(since)", since, expected=f"before until, {until!r}", mend="Exchange them.")
    if isinstance(since, datetime) and since > now:
        mend = "Name a time that has passed, or say new_window=True."
        raise ArgumentError("evaluate(since)", since, expected="a time that has passed", mend=mend)
    if checked_truth("evaluate(new_window)", new_window):
        if since is not None or until is not None:
            mend = "Give since to begin the window there, or new_window=True to begin it now."
            raise ArgumentError("evaluate(new_window)", new_window, expected="no since or until beside it", mend=mend)
        return now
    return since if isinstance(since, datetime) and until is None else None


def begin_window(store: Store, experiment: str, *, since: datetime, now: datetime, who: str, why: str) -> None:
    """Begin a window of all candidates, unless the last one that was begun by hand begins there already."""
    last = next((start for start in store.windows(experiment) if not start.candidate), None)
    if last is None or last.since != since:
        store.add_window(experiment, WindowStart(since=since, at=now, who=who or user_name(), why=why))


def window_of(store: Store, experiment: str, candidate: Arm) -> WindowStart | None:
    """The window that was begun last for a candidate, or for all; None: all queries count."""
    starts = store.windows(experiment)
    return next((start for start in starts if start.candidate in {"", candidate}), None)


def settled_release(store: Store, experiment: str, trial: Trial, *, candidate: Arm) -> Release | None:
    """The last change of what answered, once it has come to stay; None: nothing has changed, or not for good."""
    for release in trial.facts.versions.releases(candidate):
        if release.clean:
            return release
        since = islice(store.pairs(experiment, candidate, since=release.since), _SETTLED)
        if sum(1 for _ in since) == _SETTLED:
            return release
    return None


def begin_release(store: Store, experiment: str, release: Release, *, candidate: Arm, now: datetime) -> WindowStart:
    """Begin the window of a candidate from whose first query on one release alone has answered."""
    start = WindowStart(since=release.since, at=now, who="by itself", why=release.why, candidate=candidate)
    store.add_window(experiment, start)
    return start


def sentence_of(start: WindowStart) -> str:
    """Where the window begins, who began it, when and why."""
    because = f": {start.why}" if start.why else ""
    return f"The window begins at {_moment(start.since)} ({start.who}, {_moment(start.at)}{because})"


def window_sentences(start: WindowStart | None, experiment: Experiment, *, now: datetime) -> tuple[str, ...]:
    """Where the window begins, if one was begun; and that retention has moved its beginning, if it has."""
    if start is None:
        return ()
    age = retention_of(experiment)
    kept = start.since if age is None else kept_since(age, now)
    if kept <= start.since:
        return (sentence_of(start),)
    slid = (
        f"Of that window only what was asked since {_moment(kept)} is left, and it slides on: retention "
        f"({experiment.settings.retention}) is shorter. Keep queries for longer than the experiment runs, or begin a "
        "new window"
    )
    return (sentence_of(start), slid)


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S %Z}"
