"""The tables: whole records as msgpack, beside them the few columns that queries ask for.

They have a registry of their own and the prefix `shadow_`, so that they can live in the database of an application
that uses SQLModel itself. A change here needs a new file in `migrations/versions/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

from sqlalchemy import BigInteger, Connection, Index, Integer, LargeBinary, MetaData
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import declared_attr, registry
from sqlmodel import Field, SQLModel

__all__ = [
    "METADATA",
    "Aside",
    "Audit",
    "Counter",
    "Envelope",
    "Erasure",
    "Evaluation",
    "Label",
    "Observation",
    "Progress",
    "Score",
    "Task",
    "in_chunks",
    "insert_new",
    "upsert",
]

METADATA = MetaData()
_CHUNK: Final = 500
"""Values per statement: below SQLite's and PostgreSQL's caps on bound ones."""
_Item = TypeVar("_Item")
_OF_QUERY = "shadow_envelope.query_id"
_ROW_ID: Any = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only in an INTEGER key


class _Table(SQLModel, registry=registry(metadata=METADATA)):
    metadata = METADATA

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805 # pyright: ignore[reportIncompatibleVariableOverride] - as SQLAlchemy documents it
        return f"shadow_{cls.__name__.lower()}"


class Envelope(_Table, table=True):
    """A mirrored call: the query, and what the incumbent served."""

    __table_args__ = (Index("shadow_envelope_order", "experiment", "asked_at", "query_id"),)

    query_id: str = Field(primary_key=True)
    experiment: str
    asked_at: datetime
    entry: str
    key: str = Field(index=True)
    text_key: str = Field(default="", index=True)
    cluster: str
    unit: str = Field(index=True)
    duration: float
    failed: str
    """Kind of the served failure; empty: it answered."""
    damaged: bool
    frame: bytes = Field(sa_type=LargeBinary)


class Task(_Table, table=True):
    """One arm's run of one envelope: open, leased, done or set_aside."""

    __table_args__ = (Index("shadow_task_order", "experiment", "state", "asked_at", "query_id", "draw"),)

    query_id: str = Field(primary_key=True, foreign_key=_OF_QUERY, ondelete="CASCADE")
    arm: str = Field(primary_key=True)
    experiment: str
    asked_at: datetime
    draw: int
    """Random, so that no arm always runs first."""
    state: str
    attempt: int
    owner: str
    lease_until: datetime | None


class Observation(_Table, table=True):
    """What a shadow did. The served observation is part of the envelope."""

    query_id: str = Field(primary_key=True, foreign_key=_OF_QUERY, ondelete="CASCADE")
    arm: str = Field(primary_key=True)
    place: str = Field(primary_key=True)
    duration: float
    failed: str
    live_writes: int
    record: bytes = Field(sa_type=LargeBinary)


class Score(_Table, table=True):
    """One metric of one pair. A value or, where it is null, the reason."""

    query_id: str = Field(primary_key=True, foreign_key=_OF_QUERY, ondelete="CASCADE")
    arm: str = Field(primary_key=True)
    metric: str = Field(primary_key=True)
    scorer_version: str = Field(primary_key=True)
    at: datetime
    incumbent: float | None
    incumbent_reason: str | None
    candidate: float | None
    candidate_reason: str | None
    noise: float | None
    noise_reason: str | None


class Label(_Table, table=True):
    """What people said about a query (by its id), or about all with the same inputs (`key`) or text (`text_key`)."""

    name: str = Field(primary_key=True)
    at: datetime
    record: bytes = Field(sa_type=LargeBinary)


class Aside(_Table, table=True):
    """What could not be used, and why."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_ROW_ID)
    experiment: str = Field(index=True)
    at: datetime
    reason: str
    frame: bytes = Field(sa_type=LargeBinary)


class Erasure(_Table, table=True):
    """A user or session that was erased: what they asked until then, and comes only later, is not kept."""

    unit_hash: str = Field(primary_key=True)
    """SHA-256 of the unit, so that the list of the erased names nobody."""
    until: datetime


class Evaluation(_Table, table=True):
    """An evaluation whole."""

    __table_args__ = (Index("shadow_evaluation_order", "experiment", "created_at"),)

    id: str = Field(primary_key=True)
    experiment: str
    created_at: datetime
    record: bytes = Field(sa_type=LargeBinary)


class Progress(_Table, table=True):
    """What a look at a candidate's pairs left for the next one; or, with a token, a look that is under way.

    Whatever changes at or before its last query deletes the row.
    """

    experiment: str = Field(primary_key=True)
    arm: str = Field(primary_key=True)
    token: str = Field(primary_key=True)
    """Empty: the look has ended."""
    asked_at: datetime
    query_id: str
    """Last query that it saw."""
    since: datetime | None
    purpose: str
    """What the state was gathered for; of no use for anything else."""
    fates: bytes = Field(sa_type=LargeBinary)
    """Queries up to the last one by what became of them (JSON)."""
    record: bytes = Field(sa_type=LargeBinary)


class Counter(_Table, table=True):
    """The last snapshot of one process's counters."""

    experiment: str = Field(primary_key=True)
    source: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    value: int = Field(sa_type=BigInteger)


class Audit(_Table, table=True):
    """Who changed what, when and why."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_ROW_ID)
    at: datetime
    who: str
    what: str
    old: str
    new: str
    reason: str


def in_chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """Portions of at most 500 items, which one statement can take."""
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk


def _insert(connection: Connection, table: type[SQLModel]) -> Any:
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)


def insert_new(connection: Connection, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows whose key is not there yet. Returns how many were new."""
    if not rows:
        return 0
    columns: Any = table.__table__.columns  # type: ignore[attr-defined]
    key = next(column for column in columns if column.primary_key)
    # psycopg counts no rows of a bulk insert, so the new ones are returned.
    inserted = _insert(connection, table).on_conflict_do_nothing().returning(key)
    return len(connection.execute(inserted, list(rows)).all())


def upsert(connection: Connection, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; those whose key is there replace it."""
    if not rows:
        return
    statement = _insert(connection, table)
    columns: Any = table.__table__.columns  # type: ignore[attr-defined]
    keys = [column.name for column in columns if column.primary_key]
    values = {column.name: statement.excluded[column.name] for column in columns if not column.primary_key}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), list(rows))
