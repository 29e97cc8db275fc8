"""Changes invalidate the progress of earlier looks: whatever comes or changes at or before a look's last query.

Every writer calls this in the transaction of its change, last of all, and a look that is under way has said beforehand,
alone (`engine.transaction`), how far it will read: so none can leave progress that does not hold any more.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, and_, delete, or_, select, true, tuple_
from sqlmodel import col

from shadoweval.records import INCUMBENT, Arm, Labels
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load
from shadoweval.store.columns import stored_name
from shadoweval.store.engine import hold
from shadoweval.store.rows import in_chunks, upsert

__all__ = ["Mark", "drop_unneeded_segments", "merge_labels", "queries_changed", "queries_gone", "query_order"]

Mark: TypeAlias = tuple[datetime, str]
"""A position in query order: when a query was asked, and its id."""


_KEY: Final = (col(tables.Progress.experiment), col(tables.Progress.arm), col(tables.Progress.token))


def query_order(table: Any) -> Any:
    """The columns that queries are ordered by, to be compared with a `Mark`."""
    return tuple_(col(table.asked_at), col(table.query_id))


def queries_changed(connection: Connection, experiment: str, marks: Iterable[Mark], *, arm: Arm = INCUMBENT) -> None:
    """Queries came, changed or were left out; or one arm's observation of them. The incumbent concerns every arm."""
    earliest = min(marks, default=None)
    if earliest is None:
        return
    progress = tables.Progress
    reaching = and_(col(progress.experiment) == experiment, query_order(progress) >= earliest)
    concerned = reaching if arm == INCUMBENT else and_(reaching, col(progress.arm) == arm)
    gone = _locked(connection, concerned)
    if gone:
        connection.execute(delete(progress).where(tuple_(*_KEY).in_(gone)))


def _locked(connection: Connection, condition: Any) -> list[tuple[str, str, str]]:
    """Keys of the rows, which nobody else can change now. In their order: so two never wait for each other."""
    wanted = select(*_KEY).where(condition).order_by(*_KEY).with_for_update()
    return [(row[0], row[1], row[2]) for row in connection.execute(wanted).all()]


def merge_labels(connection: Connection, labels: Mapping[str, Labels], now: datetime) -> int:
    """Merge labels with what is known, by query id or by key. Returns how many changed something."""
    table, changed = tables.Label, list[str]()
    hold(connection, "labels")  # what is merged is read before it is written
    for chunk in in_chunks(sorted(labels.items(), key=itemgetter(0))):
        additions = {stored_name(name): label for name, label in chunk}
        wanted = select(col(table.name), col(table.record)).where(col(table.name).in_(additions))
        known = {row.name: load(row.record, Labels) for row in connection.execute(wanted).all()}
        merged = {name: known.get(name, Labels()).merged(label) for name, label in additions.items()}
        new = {name: label for name, label in merged.items() if known.get(name, Labels()) != label}
        upsert(connection, table, [{"name": name, "at": now, "record": dump(label)} for name, label in new.items()])
        changed += new
    if changed:
        _locked(connection, true())  # all at once, in their order, before they are looked through one by one
    for chunk in in_chunks(changed):
        _labels_changed(connection, chunk)
    return len(changed)


def _labels_changed(connection: Connection, names: Collection[str]) -> None:
    """Labels by these query ids, keys or texts' keys came or changed."""
    progress, envelope = tables.Progress, tables.Envelope
    for column in (envelope.key, envelope.text_key, envelope.query_id):  # one after the other, each by its index
        seen = select(col(envelope.query_id)).where(
            col(column).in_(names),
            col(envelope.experiment) == col(progress.experiment),
            query_order(envelope) <= query_order(progress),
        )
        connection.execute(delete(progress).where(seen.exists()))


def queries_gone(connection: Connection, experiment: str, marks: Collection[Mark]) -> None:
    """Queries were deleted: what looks have left goes where it may hold their texts, and stays where it can't.

    It can't where the window began after all of them, or the look ended before them.
    """
    progress, (newest, _) = tables.Progress, max(marks)
    holding = and_(
        col(progress.experiment) == experiment,
        or_(col(progress.since).is_(None), col(progress.since) <= newest),
        query_order(progress) >= min(marks),
    )
    gone = _locked(connection, holding)
    if gone:
        connection.execute(delete(progress).where(tuple_(*_KEY).in_(gone)))
    for arm in sorted({arm for _, arm, _ in gone}):
        drop_unneeded_segments(connection, experiment, arm)


def drop_unneeded_segments(connection: Connection, experiment: str, arm: Arm) -> None:
    """Take away the segments on which no state rests any more."""
    segment, progress = tables.Segment, tables.Progress
    mine = (col(segment.experiment) == experiment, col(segment.arm) == arm)
    states = select(col(progress.segments)).where(col(progress.experiment) == experiment, col(progress.arm) == arm)
    needed = {name for names in connection.execute(states).scalars().all() for name in json.loads(names)}
    there = set(connection.execute(select(col(segment.name)).where(*mine)).scalars().all())
    for names in in_chunks(sorted(there - needed)):
        connection.execute(delete(segment).where(*mine, col(segment.name).in_(names)))
