"""When windows began, and the ledger of what was tried on their pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select
from sqlmodel import col

from shadoweval.protocols import Attempt, WindowStart
from shadoweval.store import tables
from shadoweval.store.rows import insert_new, upsert

__all__ = ["read_attempts", "read_windows", "write_attempts", "write_window"]

_WINDOW = ("since", "at", "who", "why", "candidate")
_ATTEMPT = ("candidate", "since", "tried", "at", "until", "number")


def write_window(connection: Connection, experiment: str, start: WindowStart) -> None:
    """Write down a window's beginning."""
    row = {name: getattr(start, name) for name in _WINDOW}
    insert_new(connection, tables.Window, [{"experiment": experiment, **row}])


def read_windows(connection: Connection, experiment: str) -> Sequence[WindowStart]:
    """All beginnings, the one written last first."""
    table = tables.Window
    columns = [col(getattr(table, name)) for name in _WINDOW]
    wanted = select(*columns).where(col(table.experiment) == experiment).order_by(col(table.id).desc())
    return [WindowStart(**dict(zip(_WINDOW, row, strict=True))) for row in connection.execute(wanted).all()]


def write_attempts(connection: Connection, experiment: str, attempts: Iterable[Attempt]) -> None:
    """Write down attempts; one that is known already is replaced."""
    rows = [
        {"experiment": experiment, "began": _began(each), **{name: getattr(each, name) for name in _ATTEMPT}}
        for each in attempts
    ]
    upsert(connection, tables.Attempt, rows)


def read_attempts(connection: Connection, experiment: str) -> Sequence[Attempt]:
    """All attempts, the first one first."""
    table = tables.Attempt
    columns = [col(getattr(table, name)) for name in _ATTEMPT]
    wanted = select(*columns).where(col(table.experiment) == experiment).order_by(col(table.at), col(table.tried))
    return [Attempt(**dict(zip(_ATTEMPT, row, strict=True))) for row in connection.execute(wanted).all()]


def _began(attempt: Attempt) -> str:
    """The beginning as a part of a key, which may not be null."""
    return "" if attempt.since is None else attempt.since.isoformat()
