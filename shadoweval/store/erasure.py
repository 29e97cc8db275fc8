"""Erasure of what a user asked, or of everything before a day. Evaluations keep their numbers and lose the texts.

What a user asked may still be on its way when they are erased. So the store remembers until when, and keeps nothing of
theirs that was asked before and comes later.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update
from sqlmodel import col

from shadoweval import records
from shadoweval.errors import CorruptFrameError
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load
from shadoweval.store.changes import drop_progress

__all__ = ["ERASED", "erase_unit", "not_erased", "purge_before"]

ERASED = "erased"
"""Counter of the queries that mirrors counted and the store no longer has."""


def _hash(unit: str) -> str:
    return hashlib.sha256(unit.encode("utf-8", "surrogatepass")).hexdigest()


def not_erased(connection: Connection, envelopes: Sequence[records.Envelope]) -> list[records.Envelope]:
    """Those whose user or session was not erased after they were asked; the others are counted."""
    erasure = tables.Erasure
    units = {envelope.query.unit: _hash(envelope.query.unit) for envelope in envelopes if envelope.query.unit}
    if not units:
        return list(envelopes)
    wanted = select(col(erasure.unit_hash), col(erasure.until)).where(col(erasure.unit_hash).in_(units.values()))
    until = {row.unit_hash: row.until for row in connection.execute(wanted).all()}
    lasting = [
        envelope
        for envelope in envelopes
        if (erased := until.get(units.get(envelope.query.unit, ""))) is None or envelope.query.asked_at > erased
    ]
    ids = {envelope.id for envelope in lasting}
    _count_erased(connection, Counter(e.experiment for e in envelopes if e.id not in ids))
    return lasting


def _count_erased(connection: Connection, counts: Counter[str]) -> None:
    """Mirrors' counters go on knowing these queries; the funnel must not wait for them."""
    counter = tables.Counter
    for experiment, count in counts.items():
        key = {"experiment": experiment, "source": "store", "name": ERASED}
        same = [col(getattr(counter, name)) == value for name, value in key.items()]
        before = connection.execute(select(col(counter.value)).where(*same)).scalar() or 0
        tables.upsert(connection, counter, [{**key, "value": before + count}])


def erase_unit(connection: Connection, unit: str, until: datetime) -> int:
    """Delete a user's or session's queries and all that was derived from them. Returns how many queries.

    What they asked until `until` and comes later is dropped by `not_erased`.
    """
    erasure = tables.Erasure
    mark = {"unit_hash": _hash(unit), "until": until}
    older = (col(erasure.unit_hash) == mark["unit_hash"], col(erasure.until) < until)
    connection.execute(delete(erasure).where(*older))
    tables.insert_new(connection, erasure, [mark])
    envelope = tables.Envelope
    gone = _delete_envelopes(connection, col(envelope.unit) == unit)
    _strip_examples(connection, gone)
    aside = tables.Aside
    frames = connection.execute(select(col(aside.id), col(aside.frame))).all()
    ids = [row.id for row in frames if unit.encode() in row.frame]  # unreadable, so looked for as bytes
    for chunk in tables.in_chunks(ids):
        connection.execute(delete(aside).where(col(aside.id).in_(chunk)))
    return len(gone)


def purge_before(connection: Connection, before: datetime) -> int:
    """Delete queries asked before `before`, with all that was derived from them. Returns how many queries."""
    gone = _delete_envelopes(connection, col(tables.Envelope.asked_at) < before)
    _strip_examples(connection, gone)
    connection.execute(delete(tables.Aside).where(col(tables.Aside.at) < before))
    return len(gone)


def _delete_envelopes(connection: Connection, condition: Any) -> Collection[str]:
    """Delete envelopes (tasks, observations and scores go with them) and the labels that nothing needs any more."""
    envelope, label = tables.Envelope, tables.Label
    columns = (col(envelope.query_id), col(envelope.key), col(envelope.text_key), col(envelope.experiment))
    rows = connection.execute(select(*columns).where(condition)).all()
    _count_erased(connection, Counter(row.experiment for row in rows))
    if not rows:
        return set()
    connection.execute(delete(envelope).where(condition))
    drop_progress(connection)
    names = {name for row in rows for name in (row.query_id, row.key, row.text_key) if name}
    still_asked = [
        select(col(column)).where(col(column) == col(label.name)).exists()
        for column in (envelope.key, envelope.text_key)
    ]
    for chunk in tables.in_chunks(names):
        connection.execute(delete(label).where(col(label.name).in_(chunk), *(~asked for asked in still_asked)))
    return {row.query_id for row in rows}


def _strip_examples(connection: Connection, gone: Collection[str]) -> None:
    table = tables.Evaluation
    for row in connection.execute(select(col(table.id), col(table.record))).all():
        this = col(table.id) == row.id
        try:
            evaluation = load(row.record, records.Evaluation)
        except CorruptFrameError:  # what can't be read can't be searched for texts either
            connection.execute(delete(table).where(this))
            continue
        shown = evaluation.examples.items()
        rest = {name: tuple(e for e in examples if e.query_id not in gone) for name, examples in shown}
        if rest != evaluation.examples:
            stripped = dump(msgspec.structs.replace(evaluation, examples=rest))
            connection.execute(update(table).where(this).values(record=stripped))
