"""Forgetting: what a user asked, or everything before a day. Evaluations keep their numbers and lose the texts."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update
from sqlmodel import col

from shadoweval import records
from shadoweval.errors import CorruptFrameError
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load
from shadoweval.store.changes import forget_all

__all__ = ["forget_before", "forget_unit"]


def forget_unit(connection: Connection, unit: str) -> int:
    """Delete a user's or session's queries and all that was derived from them. Returns how many queries."""
    envelope = tables.Envelope
    gone = _delete_envelopes(connection, col(envelope.unit) == unit)
    _strip_examples(connection, lambda example: example.query_id in gone)
    aside = tables.Aside
    frames = connection.execute(select(col(aside.id), col(aside.frame))).all()
    theirs = [row.id for row in frames if unit.encode() in row.frame]  # unreadable, so looked for as bytes
    for start in range(0, len(theirs), 500):
        connection.execute(delete(aside).where(col(aside.id).in_(theirs[start : start + 500])))
    return len(gone)


def forget_before(connection: Connection, before: datetime) -> int:
    """Delete queries asked before `before`, with all that was derived from them. Returns how many queries."""
    gone = _delete_envelopes(connection, col(tables.Envelope.asked_at) < before)
    _strip_examples(connection, lambda example: example.query_id in gone)
    connection.execute(delete(tables.Aside).where(col(tables.Aside.at) < before))
    return len(gone)


def _delete_envelopes(connection: Connection, condition: Any) -> Collection[str]:
    """Delete envelopes (tasks, observations and scores go with them) and the labels that nothing needs any more."""
    envelope, label = tables.Envelope, tables.Label
    rows = connection.execute(select(col(envelope.query_id), col(envelope.key)).where(condition)).all()
    connection.execute(delete(envelope).where(condition))
    forget_all(connection)
    names = [*(row.query_id for row in rows), *{row.key for row in rows}]
    still_asked = select(col(envelope.key)).where(col(envelope.key) == col(label.name))
    for start in range(0, len(names), 500):
        part = col(label.name).in_(names[start : start + 500])
        connection.execute(delete(label).where(part, ~still_asked.exists()))
    return {row.query_id for row in rows}


def _strip_examples(connection: Connection, gone: Callable[[records.Example], bool]) -> None:
    table = tables.Evaluation
    for row in connection.execute(select(col(table.id), col(table.record))).all():
        this = col(table.id) == row.id
        try:
            evaluation = load(row.record, records.Evaluation)
        except CorruptFrameError:  # what can't be read can't be searched for texts either
            connection.execute(delete(table).where(this))
            continue
        kept = {name: tuple(e for e in examples if not gone(e)) for name, examples in evaluation.examples.items()}
        if kept != evaluation.examples:
            stripped = dump(msgspec.structs.replace(evaluation, examples=kept))
            connection.execute(update(table).where(this).values(record=stripped))
