"""Labels: merged with what is known, by query id or by key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, select
from sqlmodel import col

from shadoweval.records import Labels
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load
from shadoweval.store.changes import labels_changed
from shadoweval.store.rows import put_rows
from shadoweval.store.tasks import CHUNK

__all__ = ["merge_labels"]


def merge_labels(connection: Connection, labels: Mapping[str, Labels], now: datetime) -> int:
    """Merge labels. Returns how many changed something."""
    table, changed = tables.Label, 0
    items = list(labels.items())
    for start in range(0, len(items), CHUNK):
        part = dict(items[start : start + CHUNK])
        wanted = select(col(table.name), col(table.record)).where(col(table.name).in_(part))
        known = {row.name: load(row.record, Labels) for row in connection.execute(wanted).all()}
        merged = {name: known.get(name, Labels()).merged(new) for name, new in part.items()}
        new = {name: label for name, label in merged.items() if known.get(name, Labels()) != label}
        put_rows(connection, table, [{"name": name, "at": now, "record": dump(label)} for name, label in new.items()])
        labels_changed(connection, new)
        changed += len(new)
    return changed
