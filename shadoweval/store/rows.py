"""Rows into tables, in portions that one statement takes and in the order in which everybody locks them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel, col

__all__ = ["aside_key", "in_chunks", "insert", "insert_new", "upsert"]

_CHUNK: Final = 500
"""Values per statement: below SQLite's and PostgreSQL's caps on bound ones."""
_Item = TypeVar("_Item")


def in_chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Portions of at most 500 items, which one statement can take."""
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def insert(connection: Connection, table: type[SQLModel]) -> Any:
    """The dialect's INSERT, which has ON CONFLICT."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def aside_key(experiment: str, frame: bytes, place: str) -> int:
    """Number of what is set aside, of 63 bits: the same whoever sets it aside, so that a second time changes nothing.

    A worker may be killed after it has set a frame aside and before the spool knows; the frame then comes again.
    """
    names = f"{experiment}\0{place}\0".encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(names + frame).digest()[:8]) >> 1


def _keys(table: type[SQLModel]) -> list[str]:
    columns: Any = table.__table__.columns  # type: ignore[attr-defined]
    return [column.name for column in columns if column.primary_key]


def _in_order(keys: Sequence[str], rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """In the order of keys, in which everybody locks them; the database itself numbers those that have none."""
    return sorted(rows, key=lambda row: tuple(row.get(key, 0) for key in keys))


def insert_new(connection: Connection, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Insert rows whose key is not there yet. Returns the first column of the key of those that were new."""
    if not rows:
        return []
    keys = _keys(table)
    # psycopg counts no rows of a bulk insert, so the new ones are returned.
    inserted = insert(connection, table).on_conflict_do_nothing().returning(col(getattr(table, keys[0])))
    return list(connection.execute(inserted, _in_order(keys, rows)).scalars().all())


def upsert(
    connection: Connection, table: type[SQLModel], rows: Sequence[dict[str, Any]], *, added: Collection[str] = ()
) -> None:
    """Insert rows; those whose key is there replace it, and columns named by `added` are added to what it has."""
    if not rows:
        return
    statement, keys = insert(connection, table), _keys(table)
    columns: Any = table.__table__.columns  # type: ignore[attr-defined]
    new = statement.excluded
    values = {
        column.name: column + new[column.name] if column.name in added else new[column.name]
        for column in columns
        if not column.primary_key
    }
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), _in_order(keys, rows))
