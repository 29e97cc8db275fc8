"""Changes invalidate the progress of earlier looks: whatever comes or changes at or before a look's last query.

Every writer calls this in the transaction of its change, and a look that is under way has said beforehand how far it
will read: so none can leave progress that does not hold any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, and_, delete, select, tuple_
from sqlmodel import col

from shadoweval.records import INCUMBENT, Arm, Labels
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load

__all__ = ["Mark", "drop_progress", "merge_labels", "queries_changed", "query_order"]

Mark: TypeAlias = tuple[datetime, str]
"""A position in query order: when a query was asked, and its id."""


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
    connection.execute(delete(progress).where(concerned))


def merge_labels(connection: Connection, labels: Mapping[str, Labels], now: datetime) -> int:
    """Merge labels with what is known, by query id or by key. Returns how many changed something."""
    table, changed = tables.Label, 0
    for chunk in tables.in_chunks(labels.items()):
        additions = dict(chunk)
        wanted = select(col(table.name), col(table.record)).where(col(table.name).in_(additions))
        known = {row.name: load(row.record, Labels) for row in connection.execute(wanted).all()}
        merged = {name: known.get(name, Labels()).merged(label) for name, label in additions.items()}
        new = {name: label for name, label in merged.items() if known.get(name, Labels()) != label}
        tables.upsert(
            connection, table, [{"name": name, "at": now, "record": dump(label)} for name, label in new.items()]
        )
        _labels_changed(connection, new)
        changed += len(new)
    return changed


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


def drop_progress(connection: Connection) -> None:
    """Take away what every look has left; it may hold texts of what was erased."""
    connection.execute(delete(tables.Progress))
