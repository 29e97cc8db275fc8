"""What changes at or before the last query of an earlier look takes away what that look left.

Every writer calls this in the transaction of its change, and a look that is under way has said beforehand how far it
will read: so none can leave anything that does not hold any more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Connection, and_, delete, select, tuple_
from sqlmodel import col

from shadoweval.records import INCUMBENT, Arm
from shadoweval.store import tables

__all__ = ["Mark", "forget_all", "labels_changed", "queries_changed"]

Mark: TypeAlias = tuple[datetime, str]
"""A place in query order."""


def queries_changed(connection: Connection, experiment: str, marks: Iterable[Mark], *, arm: Arm = INCUMBENT) -> None:
    """Queries came, changed or were left out; or one arm's observation of them. The incumbent concerns every arm."""
    earliest = min(marks, default=None)
    if earliest is None:
        return
    progress = tables.Progress
    reaching = and_(
        col(progress.experiment) == experiment,
        tuple_(col(progress.asked_at), col(progress.query_id)) >= earliest,
    )
    connection.execute(delete(progress).where(reaching if arm == INCUMBENT else and_(reaching, _of(arm))))


def _of(arm: Arm) -> Any:
    return col(tables.Progress.arm) == arm


def labels_changed(connection: Connection, names: Collection[str]) -> None:
    """Labels by these query ids or keys came or changed."""
    progress, envelope = tables.Progress, tables.Envelope
    for column in (envelope.key, envelope.query_id):  # one after the other, each by its index
        seen = select(col(envelope.query_id)).where(
            col(column).in_(names),
            col(envelope.experiment) == col(progress.experiment),
            tuple_(col(envelope.asked_at), col(envelope.query_id))
            <= tuple_(col(progress.asked_at), col(progress.query_id)),
        )
        connection.execute(delete(progress).where(seen.exists()))


def forget_all(connection: Connection) -> None:
    """Take away what every look has left; it may hold texts of what was erased."""
    connection.execute(delete(tables.Progress))
