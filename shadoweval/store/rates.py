"""When the next run of an experiment may begin that may connect to an endpoint: one row for all workers."""

from __future__ import annotations

import time
from typing import Final

from sqlalchemy import Connection, func, select, update
from sqlmodel import col

from shadoweval.store import tables
from shadoweval.store.rows import insert_new

__all__ = ["reserve_time"]

_MICRO: Final = 1_000_000


def reserve_time(connection: Connection, experiment: str, endpoint: str, *, seconds: float, longest: float) -> float:
    """Reserve the next free time, `seconds` before the one after it.

    Times are by the database's clock; SQLite has its host's.

    Returns:
        Seconds until then; of more than `longest` nothing was reserved.
    """
    table = tables.Rate
    key = {"experiment": experiment, "endpoint": endpoint}
    this = (col(table.experiment) == experiment, col(table.endpoint) == endpoint)
    free = connection.execute(select(col(table.next_at)).where(*this).with_for_update()).scalar()
    if free is None:
        insert_new(connection, table, [{**key, "next_at": 0}])  # another worker may just have made it
        free = connection.execute(select(col(table.next_at)).where(*this).with_for_update()).scalar_one()
    now = _now(connection)
    step, most = round(seconds * _MICRO), round(longest * _MICRO)
    if free > now + most + step:  # nobody reserves so far ahead: the clock was set back
        free = now
    begins = max(free, now)
    if begins - now <= most:
        connection.execute(update(table).where(*this).values(next_at=begins + step))
    return (begins - now) / _MICRO


def _now(connection: Connection) -> int:
    """Microseconds since 1970, read after the row was locked."""
    if connection.dialect.name != "postgresql":
        return round(time.time() * _MICRO)
    return round(float(connection.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one()) * _MICRO)
