"""The queue inside the store: tasks are opened with their envelope, leased, and given up after too many tries."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, and_, select, true, update
from sqlmodel import col

from shadoweval.codec import decode_envelope, encode_envelope
from shadoweval.errors import CorruptFrameError, UnstorableError
from shadoweval.protocols import Task
from shadoweval.records import Arm, Envelope, Failure, Observation
from shadoweval.store import tables
from shadoweval.store.blobs import dump_observation
from shadoweval.store.changes import Mark, queries_changed
from shadoweval.store.columns import stored_name
from shadoweval.store.definitions import note_definitions
from shadoweval.store.engine import repeated, transaction
from shadoweval.store.erasure import count_erased, erased_among
from shadoweval.store.leases import Leases, reopened
from shadoweval.store.rows import in_chunks, insert_new

__all__ = ["TaskQueue", "insert_envelopes", "insert_observation"]

_MOST_ATTEMPTS: Final = 3
"""A task that so many workers took without bringing a result is given up, as the shadow's failure."""


class TaskQueue(Leases):
    """One task for each arm of an envelope, leased by workers and closed by its observation: a part of `SqlStore`."""

    @repeated
    def add_envelopes(
        self,
        envelopes: Sequence[Envelope],
        *,
        arms: Mapping[str, Sequence[Arm]],
        frames: Mapping[str, bytes] | None = None,
    ) -> int:
        """Keep envelopes and open one task for each arm in `arms[envelope.id]`, all or none. How many were new.

        `frames` are their bytes by id, which are stored as they came; without them envelopes are encoded.

        What a user or session asked before they were erased is not kept.

        Raises:
            StoreError: the store can't be used; UnstorableError: it can't hold one of them.
        """
        with transaction(self._engine, write=True) as connection:
            return insert_envelopes(connection, envelopes, arms, frames=frames or {})

    @repeated
    def add_observation(self, observation: Observation) -> bool:
        """Keep a shadow's observation and close its task. False: it was there already, or its query was erased.

        Raises:
            StoreError: the store can't be used; UnstorableError: it can't hold this one.
        """
        with transaction(self._engine, write=True) as connection:
            query = insert_observation(connection, observation)
            if query is not None:
                queries_changed(connection, query.experiment, [(query.asked_at, query.query_id)], arm=observation.arm)
            return query is not None

    @repeated
    def lease(
        self, experiment: str, *, limit: int, seconds: float, owner: str, arms: Collection[Arm] | None = None
    ) -> Sequence[Task]:
        """Take open tasks for `seconds`, oldest query first, the arms of a query in random order; of these arms alone.

        A lease that ran out is open again with a higher attempt; after three attempts it is closed with a failure
        (`crash`) that is the shadow's: nobody knows why its workers ended.
        """
        taken, changed = list[Task](), list[Mark]()
        with transaction(self._engine, write=True) as connection:
            now = self._now(connection)
            reopened(connection, experiment, col(tables.Task.lease_until) < now)
            while len(taken) < limit:
                rows = _open_tasks(connection, experiment, arms=arms, limit=limit - len(taken))
                if not rows:
                    break
                for row in rows:
                    if row.attempt >= _MOST_ATTEMPTS:
                        _give_up(connection, row, seconds=seconds, now=now)
                    elif task := _lease(connection, row, owner=owner, until=now + timedelta(seconds=seconds)):
                        taken.append(task)
                        continue
                    changed.append((row.asked_at, row.query_id))
            queries_changed(connection, experiment, changed)
        return taken

    @repeated
    def release(self, task: Task) -> None:
        """Give a leased task back unrun: it is open again at once, and the try does not count."""
        table = tables.Task
        this = and_(
            col(table.query_id) == task.envelope.id,
            col(table.arm) == task.arm,
            col(table.state) == "leased",
            col(table.attempt) == task.attempt,
        )
        values = {"state": "open", "owner": "", "lease_until": None, "attempt": task.attempt - 1}
        with transaction(self._engine, write=True) as connection:
            connection.execute(update(table).where(this).values(**values))


def insert_envelopes(
    connection: Connection,
    envelopes: Sequence[Envelope],
    arms: Mapping[str, Sequence[Arm]],
    *,
    frames: Mapping[str, bytes] = MappingProxyType({}),
) -> int:
    """Insert what is not there yet and not erased, with its tasks. Returns how many envelopes were new."""
    erased, new = dict[str, Envelope](), dict[str, Envelope]()
    for chunk in in_chunks(envelopes):
        erased |= erased_among(connection, chunk)
        new |= {envelope.id: envelope for envelope in chunk if envelope.id not in erased}
    for chunk in in_chunks(list(new)):
        known = select(col(tables.Envelope.query_id)).where(col(tables.Envelope.query_id).in_(chunk))
        for query_id in connection.execute(known).scalars().all():
            del new[query_id]
    ordered = [new[query_id] for query_id in sorted(new)]
    added: list[str] = []
    for chunk in in_chunks(ordered):
        added += insert_new(connection, tables.Envelope, [_envelope_row(each, frames) for each in chunk])
    tasks = [_task_row(envelope, arm) for envelope in ordered for arm in arms.get(envelope.id, ())]
    for rows in in_chunks(tasks):
        insert_new(connection, tables.Task, rows)
    count_erased(connection, {each.id: (each.experiment, each.query.asked_at) for each in erased.values()})
    for experiment in sorted({envelope.experiment for envelope in ordered}):
        marks = [(each.query.asked_at, each.id) for each in ordered if each.experiment == experiment]
        queries_changed(connection, experiment, marks)
        note_definitions(connection, experiment, [each for each in ordered if each.experiment == experiment])
    return len(added)


def _envelope_row(envelope: Envelope, frames: Mapping[str, bytes]) -> dict[str, Any]:
    query, served = envelope.query, envelope.served
    if stored_name(query.id) != query.id:
        raise UnstorableError(f"{query.id[:80]!r} is no query id: it must be clean text of at most 500 bytes.")
    return {
        "query_id": query.id,
        "experiment": envelope.experiment,
        "asked_at": query.asked_at,
        "entry": query.entry,
        "key": query.key,
        "text_key": query.text_key,
        "cluster": query.cluster,
        "unit": query.unit,
        "duration": served.duration,
        "failed": served.failure.kind if served.failure else "",
        "damaged": False,
        "frame": frames.get(query.id) or encode_envelope(envelope),
    }


def _task_row(envelope: Envelope, arm: Arm) -> dict[str, Any]:
    return {
        "query_id": envelope.id,
        "arm": arm,
        "experiment": envelope.experiment,
        "asked_at": envelope.query.asked_at,
        "draw": random.getrandbits(31),
        "state": "open",
        "attempt": 0,
        "owner": "",
        "lease_until": None,
    }


def insert_observation(connection: Connection, observation: Observation) -> Any:
    """Close its task and insert an observation; None: it was there already, or its query was erased.

    Returns:
        Experiment, asking time and id of the query, which has changed by it.
    """
    envelope = tables.Envelope
    wanted = select(col(envelope.experiment), col(envelope.asked_at), col(envelope.query_id)).where(
        col(envelope.query_id) == observation.query_id
    )
    query = connection.execute(wanted).first()
    if query is None:
        return None
    _set_task(connection, observation.query_id, observation.arm, state="done", owner="", lease_until=None)
    row = {
        "query_id": observation.query_id,
        "arm": observation.arm,
        "place": observation.place,
        "duration": observation.duration,
        "failed": observation.failure.kind if observation.failure else "",
        "live_writes": observation.live_writes,
        "record": dump_observation(observation),
    }
    return query if insert_new(connection, tables.Observation, [row]) else None


def _set_task(connection: Connection, query_id: str, arm: Arm, **values: Any) -> None:
    # What was set aside stays so: its envelope is damaged, or its runs never came back.
    this = and_(
        col(tables.Task.query_id) == query_id, col(tables.Task.arm) == arm, col(tables.Task.state) != "set_aside"
    )
    connection.execute(update(tables.Task).where(this).values(**values))


def _open_tasks(connection: Connection, experiment: str, *, arms: Collection[Arm] | None, limit: int) -> Sequence[Any]:
    """Open tasks in the order of the index, locked against other workers."""
    task, envelope = tables.Task, tables.Envelope
    columns = (task.query_id, task.arm, task.experiment, task.asked_at, task.attempt, task.lease_until, envelope.frame)
    wanted = (
        select(*map(col, columns))
        .join(envelope, col(envelope.query_id) == col(task.query_id))
        .where(col(task.experiment) == experiment, col(task.state) == "open")
        .where(true() if arms is None else col(task.arm).in_(arms))
        .order_by(col(task.asked_at), col(task.query_id), col(task.draw))
        .limit(limit)
        .with_for_update(skip_locked=True, of=task)  # SQLite ignores it: there BEGIN IMMEDIATE is the lock
    )
    return connection.execute(wanted).all()


def _lease(connection: Connection, row: Any, *, owner: str, until: datetime) -> Task | None:
    try:
        envelope = decode_envelope(row.frame, encoded=True)
    except CorruptFrameError:
        _set_task(connection, row.query_id, row.arm, state="set_aside", owner="", lease_until=None)
        whole = col(tables.Envelope.query_id) == row.query_id
        connection.execute(update(tables.Envelope).where(whole).values(damaged=True))
        return None
    attempt = row.attempt + 1
    _set_task(connection, row.query_id, row.arm, state="leased", attempt=attempt, owner=owner, lease_until=until)
    return Task(envelope=envelope, arm=row.arm, attempt=attempt)


def _give_up(connection: Connection, row: Any, *, seconds: float, now: datetime) -> None:
    """Close a poisonous task with a failure, so that it no longer holds the watermark back."""
    failure = Failure(
        kind="crash",
        error_type="GivenUp",
        message=f"{row.attempt} workers took it and none brought a result back before its lease ran out.",
        owner="shadow",
        cause=f"{row.attempt} workers ended, or lost their lease, in mid-run",
        mend="stop workers with SIGTERM, which lets runs end, and give them time to",
    )
    observation = Observation(
        query_id=row.query_id,
        arm=row.arm,
        place="shadow",
        failure=failure,
        started_at=row.lease_until or now,
        duration=seconds,
    )
    insert_observation(connection, observation)
    _set_task(connection, row.query_id, row.arm, state="set_aside", owner="", lease_until=None)
