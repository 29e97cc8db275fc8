"""Where every mirrored query is: paired, failed by reason, or waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import msgspec
from sqlalchemy import Connection, and_, case, distinct, func, literal, select
from sqlmodel import col

from shadoweval.records import INCUMBENT, Coverage
from shadoweval.store import tables
from shadoweval.store.changes import query_order
from shadoweval.store.columns import WROTE_LIVE
from shadoweval.store.erasure import ERASED
from shadoweval.store.reading import EXCLUDED_CANDIDATE, EXCLUDED_SERVED, Window, shadow_of

__all__ = ["PAIRED", "count_fates", "count_funnel", "count_live_writes", "coverage_of"]

PAIRED, _WAITING = "paired", "waiting"


def count_funnel(connection: Connection, window: Window) -> Coverage:
    """The funnel of a window; from `window.before`, the watermark, on a query waits.

    Without `since` and `until` it begins with the counters that mirrors left. Those know no times, so a window
    begins with what is stored: `eligible == mirrored`.
    """
    counted = _counted(connection, window, waiting=False, different=True)
    keys, texts = next(((row[2], row[3]) for row in counted if row[0] == PAIRED), (0, 0))
    fates = {row[0]: row[1] for row in counted}
    return msgspec.structs.replace(coverage_of(connection, window, fates), distinct=keys, texts=texts)


def count_fates(connection: Connection, window: Window, *, waiting: bool = False) -> Counter[str]:
    """Queries of the window by what became of them; with `waiting` a pair is not counted as one yet."""
    return Counter({row[0]: row[1] for row in _counted(connection, window, waiting=waiting)})


def coverage_of(connection: Connection, window: Window, fates: Mapping[str, int]) -> Coverage:
    """The funnel of queries that came to these ends; `distinct` and `texts` are left at 0."""
    fates = Counter(fates)
    aside = tables.Aside
    inside = and_(col(aside.experiment) == window.experiment, window.spans(aside.at))
    unread = connection.execute(select(func.count()).select_from(aside).where(inside)).scalar_one()
    if unread:
        fates["set_aside"] += unread
    paired, waiting, stored = fates.pop(PAIRED, 0), fates.pop(_WAITING, 0), sum(fates.values())
    stored += paired + waiting
    counted = _counters(connection, window) if window.since is window.until is None else {}
    erased = counted.pop(ERASED, 0)
    mirrored = max(counted.pop("mirrored", 0), stored)
    eligible = counted.pop("eligible", mirrored)
    return Coverage(
        eligible=eligible,
        not_mirrored=counted,
        mirrored=mirrored,
        failed=dict(fates),
        waiting=waiting + mirrored - stored,  # on their way in the transport
        paired=paired,
        erased=erased,
    )


def _counted(
    connection: Connection, window: Window, *, waiting: bool, different: bool = False
) -> list[tuple[str, int, int, int]]:
    """Each end, how many envelopes came to it, and how many `different` queries and texts are among them, or 0."""
    envelope, run, task = tables.Envelope, tables.Observation, tables.Task
    whole = replace(window, before=None)
    held = literal(value=waiting) if window.before is None else query_order(envelope) >= window.before
    fate = case(
        (col(envelope.damaged), "corrupt"),
        (col(envelope.failed).in_(EXCLUDED_SERVED), col(envelope.failed)),
        (col(run.failed).in_(EXCLUDED_CANDIDATE), col(run.failed)),
        (and_(col(run.query_id).is_not(None), held), _WAITING),
        (col(run.query_id).is_not(None), PAIRED),
        (col(task.state).in_(("open", "leased")), _WAITING),
        (col(task.state) == "set_aside", "set_aside"),
        else_="not_run",
    ).label("fate")
    rows = (
        select(fate, col(envelope.key), col(envelope.text_key))
        .outerjoin(run, shadow_of(envelope, run, window.candidate))
        .outerjoin(task, and_(col(task.query_id) == col(envelope.query_id), col(task.arm) == window.candidate))
        .where(whole.of(envelope, damaged=True))
        .subquery()
    )
    names = (rows.c.key, rows.c.text_key)
    counts = [func.count(distinct(name)) if different else literal(0) for name in names]  # which sorts all of them
    counted = select(rows.c.fate, func.count(), counts[0], counts[1]).group_by(rows.c.fate)
    return [(fate, count, keys, texts) for fate, count, keys, texts in connection.execute(counted).all()]


def count_live_writes(connection: Connection, window: Window) -> int:
    """Live writes of the candidate and of the incumbent's re-runs, whatever became of the runs."""
    envelope, run = tables.Envelope, tables.Observation
    # Not a join: databases would go over all envelopes, and here hardly any run wrote.
    asked = select(literal(1)).where(col(envelope.query_id) == col(run.query_id), window.of(envelope, damaged=True))
    wanted = (
        select(func.coalesce(func.sum(col(run.live_writes)), 0))
        .where(WROTE_LIVE, col(run.arm).in_((window.candidate, INCUMBENT)), col(run.place) == "shadow")
        .where(asked.exists())
    )
    return int(connection.execute(wanted).scalar_one())


def _counters(connection: Connection, window: Window) -> dict[str, int]:
    counter = tables.Counter
    summed = (
        select(col(counter.name), func.sum(col(counter.value)))
        .where(col(counter.experiment) == window.experiment)
        .group_by(col(counter.name))
    )
    counts = {name: int(value) for name, value in connection.execute(summed).all()}
    erased = counts.get(ERASED, 0)
    return {name: count - erased if name in {"eligible", "mirrored"} else count for name, count in counts.items()}
