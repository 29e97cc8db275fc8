"""Who holds leases, the signs of life that they give, and under which definitions others mirror."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, select, tuple_, update
from sqlmodel import col

from shadoweval.clock import Clock
from shadoweval.protocols import Definition, Sign
from shadoweval.store import tables
from shadoweval.store.definitions import read_definitions
from shadoweval.store.engine import present, repeated, transaction
from shadoweval.store.rows import in_chunks, upsert

__all__ = ["Leases", "reopened"]

_FORGOTTEN: Final = timedelta(days=7)
"""After which a worker without a sign is no longer remembered: its leases ran out long ago."""


class Leases:
    """Leases and their owners: a part of `SqlStore`."""

    def __init__(self, engine: Engine, *, clock: Clock | None) -> None:
        self._engine, self._clock = engine, clock

    def _now(self, connection: Connection) -> datetime:
        return present(connection) if self._clock is None else self._clock()

    def owners(self, experiment: str) -> Collection[str]:
        """Who holds leases of this experiment."""
        task = tables.Task
        held = (col(task.experiment) == experiment, col(task.state) == "leased")
        with transaction(self._engine) as connection:
            return set(connection.execute(select(col(task.owner)).where(*held).distinct()).scalars().all())

    @repeated
    def reopen(self, experiment: str, owner: str) -> int:
        """Open again what an owner that is gone had leased, without waiting for the leases to run out. How many."""
        with transaction(self._engine, write=True) as connection:
            count = reopened(connection, experiment, col(tables.Task.owner) == owner)
            connection.execute(delete(tables.Owner).where(col(tables.Owner.owner) == owner))
            return count

    @repeated
    def sign(self, experiment: str, owner: str, *, place: str, definition: str) -> None:
        """A worker's sign of life."""
        table = tables.Owner
        with transaction(self._engine, write=True) as connection:
            now = self._now(connection)
            row = {"experiment": experiment, "owner": owner, "place": place, "definition": definition, "seen_at": now}
            upsert(connection, table, [row])

    def signs(self, experiment: str) -> Sequence[Sign]:
        """The last sign of each worker of the last week, and how long ago it was given."""
        table = tables.Owner
        columns = (table.owner, table.place, table.definition, table.seen_at)
        with transaction(self._engine) as connection:
            now = self._now(connection)
            recent = (col(table.experiment) == experiment, col(table.seen_at) >= now - _FORGOTTEN)
            rows = connection.execute(select(*map(col, columns)).where(*recent)).all()
        return [
            Sign(
                owner=row.owner, place=row.place, definition=row.definition, seen_at=row.seen_at, age=now - row.seen_at
            )
            for row in rows
        ]

    def definitions(self, experiment: str) -> Sequence[Definition]:
        """Under which definitions its calls were mirrored in the last week, in the order of their first calls."""
        with transaction(self._engine) as connection:
            return read_definitions(connection, experiment)

    @repeated
    def sign_off(self, experiment: str, owner: str) -> None:
        """A worker that holds no leases has ended; nor are those remembered that gave no sign for a week."""
        table = tables.Owner
        with transaction(self._engine, write=True) as connection:
            old = (col(table.experiment) == experiment, col(table.seen_at) < self._now(connection) - _FORGOTTEN)
            gone = select(col(table.owner)).where(*old).order_by(col(table.owner)).with_for_update(skip_locked=True)
            names = [owner, *connection.execute(gone).scalars().all()]
            connection.execute(delete(table).where(col(table.owner).in_(names)))


def reopened(connection: Connection, experiment: str, condition: Any) -> int:
    """Open leased tasks again; those that another worker is closing at this moment are left to it. How many."""
    task = tables.Task
    key = (col(task.query_id), col(task.arm))
    leased = (col(task.experiment) == experiment, col(task.state) == "leased", condition)
    held = select(*key).where(*leased).with_for_update(skip_locked=True)
    keys = [(row.query_id, row.arm) for row in connection.execute(held).all()]
    for chunk in in_chunks(keys):
        connection.execute(update(task).where(tuple_(*key).in_(chunk)).values(state="open", owner=""))
    return len(keys)
