"""Counters of homes: each home's stand under a source of its own, which a copy of the home can't take over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, delete
from sqlmodel import col

from shadoweval.store import tables
from shadoweval.store.rows import insert, upsert

__all__ = ["replace_counters", "write_counters"]

_BEFORE: Final = "spool"
"""The source of all homes in versions that told none from another."""


def write_counters(connection: Connection, counters: Mapping[str, int], *, experiment: str, source: str) -> None:
    """Keep the newest counters of a source."""
    names = counters.items()
    rows = [{"experiment": experiment, "source": source, "name": name, "value": value} for name, value in names]
    upsert(connection, tables.Counter, rows)


def replace_counters(
    connection: Connection,
    counters: Mapping[str, int],
    *,
    experiment: str,
    source: str,
    token: str,
    known: Collection[str],
) -> bool:
    """Keep the newest counters of a source for whoever knows the token of the last time.

    See `protocols.Store.replace_counters`.
    """
    home = tables.Home
    claim = insert(connection, home).values(experiment=experiment, source=source, token=token)
    claim = claim.on_conflict_do_update(
        index_elements=["experiment", "source"], set_={"token": token}, where=col(home.token).in_(known)
    )
    if connection.execute(claim.returning(col(home.token))).first() is None:
        return False
    counter = tables.Counter
    old = (col(counter.experiment) == experiment, col(counter.source) == _BEFORE)
    connection.execute(delete(counter).where(*old))
    write_counters(connection, counters, experiment=experiment, source=source)
    return True
