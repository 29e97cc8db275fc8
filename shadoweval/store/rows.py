"""Bulk writes that say the same on SQLite and PostgreSQL: insert what is new, or replace what is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from shadoweval.records import Arm, PairScore, Score, Scored

__all__ = ["add_rows", "put_rows", "score_row"]


def _insert(connection: Connection, table: type[SQLModel]) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def add_rows(connection: Connection, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows whose key is not there yet. Returns how many were new."""
    if not rows:
        return 0
    columns: Any = table.__table__.columns  # type: ignore[attr-defined]
    key = next(column for column in columns if column.primary_key)
    # psycopg counts no rows of a bulk insert, so the new ones tell of themselves.
    inserted = _insert(connection, table).on_conflict_do_nothing().returning(key)
    return len(connection.execute(inserted, list(rows)).all())


def put_rows(connection: Connection, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; those whose key is there replace it."""
    if not rows:
        return
    statement = _insert(connection, table)
    columns: Any = table.__table__.columns  # type: ignore[attr-defined]
    keys = [column.name for column in columns if column.primary_key]
    values = {column.name: statement.excluded[column.name] for column in columns if not column.primary_key}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), list(rows))


def score_row(score: PairScore, candidate: Arm, now: datetime) -> dict[str, Any]:
    """A score as a row: each side as a value or as a reason."""
    row: dict[str, Any] = {
        "query_id": score.query_id,
        "arm": candidate,
        "metric": score.metric,
        "scorer_version": score.scorer_version,
        "at": now,
    }
    sides: dict[str, Score | None] = {
        "incumbent": score.incumbent,
        "candidate": score.candidate,
        "noise": score.noise,
    }
    for side, value in sides.items():
        row[side] = value.value if isinstance(value, Scored) else None
        row[f"{side}_reason"] = None if value is None or isinstance(value, Scored) else value.reason
    return row
