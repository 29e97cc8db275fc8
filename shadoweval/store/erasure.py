"""Erasure of what a user asked, or of everything before a day. Evaluations keep their numbers and lose the texts.

It goes in portions, each in a transaction `alone`, and can be broken off between any two: begun again it goes on. What
a user asked may still be on its way when they are erased. So the store remembers first until when, and keeps nothing of
theirs that was asked before and comes later; and evaluations show only queries that are there.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlmodel import col

from shadoweval import records
from shadoweval.clock import Clock
from shadoweval.errors import CorruptFrameError
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load
from shadoweval.store.changes import queries_gone
from shadoweval.store.engine import empty_log, present, repeated, transaction
from shadoweval.store.judge_tables import Spending
from shadoweval.store.rows import in_chunks, insert_new, upsert

__all__ = ["ERASED", "count_erased", "drop_old_evaluations", "erase", "erased_among", "purge", "shown_as_far_as_there"]

ERASED: Final = "erased"
"""Counter of the queries that mirrors counted and the store no longer has."""

_Result = TypeVar("_Result")
_EVALUATIONS: Final = 1_000
_AT_ONCE: Final = 50_000
"""Ids of old queries that are read at once."""
_PORTION: Final = 500
_TURN: Final = 0.02
"""Seconds in which other writers have their turn: SQLite lets them try again every so often."""
_FETCHED: Final = 50
"""Rows that PostgreSQL sends at a time: what was set aside may be large."""


def _hash(unit: str) -> str:
    return hashlib.sha256(unit.encode("utf-8", "surrogatepass")).hexdigest()


def erase(engine: Engine, unit: str, *, now: Clock | None) -> int:
    """Delete what a user or session asked, and all that was derived from it. Returns how many queries.

    From the first transaction on nothing of theirs comes in. `now`: instead of the database's clock.
    """
    _alone(engine, lambda connection: _mark(connection, unit, present(connection) if now is None else now()))
    count = 0
    while portion := _alone(engine, lambda connection: _erase_some(connection, unit)):
        count += portion
        time.sleep(_TURN)
    _strip_evaluations(engine)
    _wipe_aside(engine, unit)
    empty_log(engine)
    return count


def purge(engine: Engine, before: datetime) -> int:
    """Delete queries asked before `before`, and all that was derived from them. Returns how many queries."""
    count = 0
    while old := _old_queries(engine, before):
        for ids in in_chunks(old):
            count += _alone(engine, lambda connection, ids=ids: _purge_some(connection, ids))
            time.sleep(_TURN)
    _strip_evaluations(engine)
    _alone(engine, lambda connection: _purge_rest(connection, before))
    empty_log(engine)
    return count


def _old_queries(engine: Engine, before: datetime) -> Sequence[str]:
    """Ids of queries asked before `before`: so many that memory does not grow with them."""
    envelope = tables.Envelope
    with transaction(engine) as connection:
        wanted = select(col(envelope.query_id)).where(col(envelope.asked_at) < before).limit(_AT_ONCE)
        return connection.execute(wanted).scalars().all()


@repeated
def _alone(engine: Engine, work: Callable[[Connection], _Result]) -> _Result:
    with transaction(engine, alone=True) as connection:
        return work(connection)


def erased_among(connection: Connection, envelopes: Sequence[records.Envelope]) -> dict[str, records.Envelope]:
    """Those whose user or session was erased after they were asked, by id."""
    erasure = tables.Erasure
    units = {envelope.query.unit: _hash(envelope.query.unit) for envelope in envelopes if envelope.query.unit}
    if not units:
        return {}
    wanted = select(col(erasure.unit_hash), col(erasure.until)).where(col(erasure.unit_hash).in_(units.values()))
    until = {row.unit_hash: row.until for row in connection.execute(wanted).all()}
    return {
        envelope.id: envelope
        for envelope in envelopes
        if (erased := until.get(units.get(envelope.query.unit, ""))) is not None and envelope.query.asked_at <= erased
    }


def count_erased(connection: Connection, gone: Mapping[str, tuple[str, datetime]]) -> None:
    """Queries of users who were erased are not kept: by id their experiment, and when they were asked.

    Mirrors' counters go on knowing them, so they are counted here, once, however often they come.
    """
    rows = [{"query_id": query_id, "asked_at": asked_at} for query_id, (_, asked_at) in gone.items()]
    new: list[str] = []
    for chunk in in_chunks(rows):
        new += insert_new(connection, tables.Erased, chunk)
    _count(connection, Counter(gone[query_id][0] for query_id in new))


def _count(connection: Connection, counts: Counter[str]) -> None:
    rows = [{"experiment": e, "source": "store", "name": ERASED, "value": n} for e, n in counts.items()]
    upsert(connection, tables.Counter, rows, added=("value",))


def _mark(connection: Connection, unit: str, now: datetime) -> None:
    """From now on nothing is kept of what this user or session asked until now, or is stored already."""
    erasure, envelope = tables.Erasure, tables.Envelope
    newest = connection.execute(select(func.max(col(envelope.asked_at))).where(col(envelope.unit) == unit)).scalar()
    until = now if newest is None else max(now, newest)  # a mirror's clock may be ahead
    mark = {"unit_hash": _hash(unit), "until": until}
    older = (col(erasure.unit_hash) == mark["unit_hash"], col(erasure.until) < until)
    connection.execute(delete(erasure).where(*older))
    insert_new(connection, erasure, [mark])


def _erase_some(connection: Connection, unit: str) -> int:
    """Delete some of a user's or session's queries, as far as they were marked, and all that was derived from them.

    Returns:
        How many there were; 0: nothing is left.
    """
    envelope, erasure = tables.Envelope, tables.Erasure
    until = select(col(erasure.until)).where(col(erasure.unit_hash) == _hash(unit)).scalar_subquery()
    wanted = select(col(envelope.query_id), col(envelope.experiment), col(envelope.asked_at))
    mine = wanted.where(col(envelope.unit) == unit, col(envelope.asked_at) <= until).limit(_PORTION)
    rows = connection.execute(mine).all()
    if rows:
        _delete_envelopes(connection, [row.query_id for row in rows])
        count_erased(connection, {row.query_id: (row.experiment, row.asked_at) for row in rows})
    return len(rows)


def _purge_some(connection: Connection, ids: Sequence[str]) -> int:
    """Delete these queries, with all that was derived from them. Returns how many there were."""
    counts = _delete_envelopes(connection, ids)
    _count(connection, counts)
    return counts.total()


def _delete_envelopes(connection: Connection, ids: Sequence[str]) -> Counter[str]:
    """Delete envelopes (tasks, observations and scores go with them) and the labels that nothing needs any more.

    Returns:
        How many there were, by experiment.
    """
    envelope, label = tables.Envelope, tables.Label
    columns = (envelope.query_id, envelope.key, envelope.text_key, envelope.experiment, envelope.asked_at)
    condition = col(envelope.query_id).in_(ids)
    rows = connection.execute(select(*map(col, columns)).where(condition)).all()
    if not rows:
        return Counter()
    connection.execute(delete(envelope).where(condition))
    for experiment in sorted({row.experiment for row in rows}):
        queries_gone(connection, experiment, [(r.asked_at, r.query_id) for r in rows if r.experiment == experiment])
    labelled = {name for row in rows for name in (row.query_id, row.key, row.text_key) if name}
    still_asked = [
        select(col(column)).where(col(column) == col(label.name)).exists()
        for column in (envelope.key, envelope.text_key)
    ]
    for chunk in in_chunks(labelled):
        connection.execute(delete(label).where(col(label.name).in_(chunk), *(~asked for asked in still_asked)))
    return Counter(row.experiment for row in rows)


def shown_as_far_as_there(connection: Connection, evaluation: records.Evaluation) -> records.Evaluation:
    """The evaluation with those examples alone whose queries are in the store."""
    envelope, there = tables.Envelope, set[str]()
    shown = {each.query_id for examples in evaluation.examples.values() for each in examples}
    for chunk in in_chunks(shown):
        wanted = select(col(envelope.query_id)).where(col(envelope.query_id).in_(chunk))
        there.update(connection.execute(wanted).scalars())
    if there == shown:
        return evaluation
    rest = {name: tuple(e for e in each if e.query_id in there) for name, each in evaluation.examples.items()}
    return msgspec.structs.replace(evaluation, examples=rest)


def drop_old_evaluations(connection: Connection, experiment: str) -> None:
    """Delete an experiment's evaluations but the newest thousand: forty days of one an hour."""
    table = tables.Evaluation
    mine = col(table.experiment) == experiment
    newest = select(col(table.id)).where(mine).order_by(col(table.created_at).desc(), col(table.id).desc())
    beyond = connection.execute(newest.offset(_EVALUATIONS).with_for_update(skip_locked=True)).scalars().all()
    for chunk in in_chunks(beyond):
        connection.execute(delete(table).where(col(table.id).in_(chunk)))


def _strip_evaluations(engine: Engine) -> None:
    """Take queries that are gone out of what evaluations show."""
    table = tables.Evaluation
    with transaction(engine) as connection:
        ids = connection.execute(select(col(table.id))).scalars().all()
    for each in ids:
        _strip(engine, each)


@repeated
def _strip(engine: Engine, evaluation_id: str) -> None:
    table = tables.Evaluation
    this = col(table.id) == evaluation_id
    with transaction(engine, write=True) as connection:
        record = connection.execute(select(col(table.record)).where(this)).scalar()
        if record is None:
            return
        try:
            evaluation = load(record, records.Evaluation)
        except CorruptFrameError:  # what can't be read can't be searched for texts either
            connection.execute(delete(table).where(this))
            return
        stripped = shown_as_far_as_there(connection, evaluation)
        if stripped is not evaluation:
            connection.execute(update(table).where(this).values(record=dump(stripped)))


def _wipe_aside(engine: Engine, unit: str) -> None:
    """Delete what was set aside and names the user or session: it can't be read, so it is looked for as bytes."""
    aside, sought = tables.Aside, unit.encode("utf-8", "replace")
    with transaction(engine) as connection:
        ids = connection.execute(select(col(aside.id))).scalars().all()
    for chunk in in_chunks(ids):
        with transaction(engine, write=True) as connection:
            wanted = select(col(aside.id), col(aside.frame)).where(col(aside.id).in_(chunk))
            wanted = wanted.execution_options(stream_results=True, max_row_buffer=_FETCHED)
            with connection.execute(wanted) as rows:
                gone = [row.id for row in rows if sought in row.frame]
            connection.execute(delete(aside).where(col(aside.id).in_(gone)))


def _purge_rest(connection: Connection, before: datetime) -> None:
    """Take away what was set aside or spent before, and what is known of erased queries that were asked before."""
    connection.execute(delete(tables.Aside).where(col(tables.Aside.at) < before))
    connection.execute(delete(tables.Erased).where(col(tables.Erased.asked_at) < before))
    connection.execute(delete(Spending).where(col(Spending.at) < before))
