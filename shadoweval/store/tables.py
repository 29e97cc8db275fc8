"""The tables: whole records as msgpack, beside them the few columns that queries ask for.

Their registry and the prefix `shadow_` are their own: an application's SQLModel tables may live in the same database.
A change here needs a new file in `migrations/versions/`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, MetaData
from sqlalchemy.orm import declared_attr, registry
from sqlmodel import Field, SQLModel

from shadoweval.store.columns import WROTE_LIVE, Count, LongCount, Name, Remark

__all__ = [
    "METADATA", "Alert", "Aside", "Attempt", "Audit", "Counter", "Definition", "Envelope", "Erased",
    "Erasure", "Evaluation", "Home", "Label", "Observation", "Owner", "Progress", "Rate", "Scores", "Segment",
    "Table", "Task", "Window",
]  # fmt: skip

METADATA = MetaData()
_OF_QUERY = "shadow_envelope.query_id"
_ROW_ID: Any = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only in an INTEGER key


class Table(SQLModel, registry=registry(metadata=METADATA)):
    """A table of ours."""

    metadata = METADATA

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805 # pyright: ignore[reportIncompatibleVariableOverride] - as SQLAlchemy documents it
        return f"shadow_{cls.__name__.lower()}"


class Envelope(Table, table=True):
    """A mirrored call: the query, and what the incumbent served."""

    __table_args__ = (Index("shadow_envelope_order", "experiment", "asked_at", "query_id"),)

    query_id: str = Field(sa_type=Name, primary_key=True)
    experiment: str = Field(sa_type=Name)
    asked_at: datetime
    entry: str = Field(sa_type=Name)
    key: str = Field(sa_type=Name, index=True)
    text_key: str = Field(sa_type=Name, default="", index=True)
    cluster: str = Field(sa_type=Name)
    unit: str = Field(sa_type=Name, index=True)
    duration: float
    failed: str = Field(sa_type=Name)
    """Kind of the served failure; empty: it answered."""
    damaged: bool
    frame: bytes = Field(sa_type=LargeBinary)


class Task(Table, table=True):
    """One arm's run of one envelope: open, leased, done or set_aside."""

    __table_args__ = (Index("shadow_task_order", "experiment", "state", "asked_at", "query_id", "draw"),)

    query_id: str = Field(sa_type=Name, primary_key=True, foreign_key=_OF_QUERY, ondelete="CASCADE")
    arm: str = Field(sa_type=Name, primary_key=True)
    experiment: str = Field(sa_type=Name)
    asked_at: datetime
    draw: int
    """Random, so that no arm always runs first."""
    state: str
    attempt: int
    owner: str = Field(sa_type=Name)
    lease_until: datetime | None


class Observation(Table, table=True):
    """What a shadow did. The served observation is part of the envelope."""

    __table_args__ = (
        Index("shadow_observation_wrote", "query_id", sqlite_where=WROTE_LIVE, postgresql_where=WROTE_LIVE),
    )

    query_id: str = Field(sa_type=Name, primary_key=True, foreign_key=_OF_QUERY, ondelete="CASCADE")
    arm: str = Field(sa_type=Name, primary_key=True)
    place: str = Field(sa_type=Name, primary_key=True)
    duration: float
    failed: str = Field(sa_type=Name)
    live_writes: int = Field(sa_type=Count)
    record: bytes = Field(sa_type=LargeBinary)


class Scores(Table, table=True):
    """What scorers said of one pair: a list of records, of each metric the last."""

    query_id: str = Field(sa_type=Name, primary_key=True, foreign_key=_OF_QUERY, ondelete="CASCADE")
    arm: str = Field(sa_type=Name, primary_key=True)
    record: bytes = Field(sa_type=LargeBinary)


class Label(Table, table=True):
    """What people said about a query (by its id), or about all with the same inputs (`key`) or text (`text_key`)."""

    name: str = Field(sa_type=Name, primary_key=True)
    at: datetime
    record: bytes = Field(sa_type=LargeBinary)


class Aside(Table, table=True):
    """What could not be used, and why."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_ROW_ID)
    """`rows.aside_key`; of rows of earlier versions a small number."""
    experiment: str = Field(sa_type=Name, index=True)
    at: datetime
    reason: str = Field(sa_type=Remark)
    frame: bytes = Field(sa_type=LargeBinary)


class Erasure(Table, table=True):
    """A user or session that was erased: what they asked until then, and comes only later, is not kept."""

    unit_hash: str = Field(sa_type=Name, primary_key=True)  # SHA-256, so that the list of the erased names nobody
    until: datetime


class Erased(Table, table=True):
    """A query of a user or session that was erased: so often as it comes, it is counted once."""

    query_id: str = Field(sa_type=Name, primary_key=True)
    asked_at: datetime


class Evaluation(Table, table=True):
    """An evaluation whole."""

    __table_args__ = (Index("shadow_evaluation_order", "experiment", "created_at"),)

    id: str = Field(sa_type=Name, primary_key=True)
    experiment: str = Field(sa_type=Name)
    created_at: datetime
    record: bytes = Field(sa_type=LargeBinary)


class Progress(Table, table=True):
    """What looks at a candidate's pairs left for the next one; or, with a token, a look that is under way.

    Whatever changes at or before its last query deletes the row.
    """

    experiment: str = Field(sa_type=Name, primary_key=True)
    arm: str = Field(sa_type=Name, primary_key=True)
    token: str = Field(primary_key=True)
    """Whose is under way; of one that has ended empty, or, for an older state beside the newest, `=` and a number."""
    asked_at: datetime
    query_id: str = Field(sa_type=Name)
    """Last query that it saw."""
    since: datetime | None
    purpose: str = Field(sa_type=Name)
    """What the state was gathered for; of no use for anything else."""
    fates: bytes = Field(sa_type=LargeBinary)
    """Queries up to the last one by what became of them (JSON)."""
    segments: bytes = Field(default=b"[]", sa_type=LargeBinary)
    """Names of the parts of the state that lie by themselves (JSON)."""
    record: bytes = Field(sa_type=LargeBinary)


class Segment(Table, table=True):
    """A part of what looks left that states share, since it never changes: ids of a day, hashed."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    arm: str = Field(sa_type=Name, primary_key=True)
    name: str = Field(sa_type=Name, primary_key=True)
    record: bytes = Field(sa_type=LargeBinary)


class Counter(Table, table=True):
    """The last snapshot of one process's counters."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    source: str = Field(sa_type=Name, primary_key=True)
    name: str = Field(sa_type=Name, primary_key=True)
    value: int = Field(sa_type=LongCount)


class Rate(Table, table=True):
    """When the next run that may connect to an endpoint may begin."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    endpoint: str = Field(sa_type=Name, primary_key=True)
    next_at: int = Field(sa_type=LongCount)
    """Microseconds since 1970."""


class Home(Table, table=True):
    """Who may replace the counters of a home: whoever knows the token of the last time, so that a copy can't."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    source: str = Field(sa_type=Name, primary_key=True)
    token: str = Field(sa_type=Name)


class Owner(Table, table=True):
    """The last sign of a worker that may hold leases."""

    owner: str = Field(sa_type=Name, primary_key=True)
    experiment: str = Field(sa_type=Name, index=True)
    place: str = Field(sa_type=Remark)
    """The process, for those who share its kernel."""
    definition: str = Field(sa_type=Name)
    seen_at: datetime


class Definition(Table, table=True):
    """When calls were mirrored by whom under which definition of an experiment."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    definition: str = Field(sa_type=Name, primary_key=True)
    entry: str = Field(sa_type=Name)
    """Of the last call, `"module:attribute"`."""
    process: str = Field(sa_type=Name)
    """Of the last call: a random name."""
    first_at: datetime
    """When the first call was asked, after a day without any at least."""
    last_at: datetime


class Audit(Table, table=True):
    """Who changed what, when and why."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_ROW_ID)
    at: datetime
    who: str = Field(sa_type=Remark)
    what: str = Field(sa_type=Remark)
    old: str = Field(sa_type=Remark)
    new: str = Field(sa_type=Remark)
    reason: str = Field(sa_type=Remark)


class Window(Table, table=True):
    """When a window began, by whom and why."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_ROW_ID)
    experiment: str = Field(sa_type=Name, index=True)
    candidate: str = Field(sa_type=Name)
    """Empty: of all candidates."""
    who: str = Field(sa_type=Remark)
    why: str = Field(sa_type=Remark)
    since: datetime
    at: datetime


class Attempt(Table, table=True):
    """What was tried on the pairs of a candidate's window: gates, margins, rules and scorers."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    candidate: str = Field(sa_type=Name, primary_key=True)
    began: str = Field(sa_type=Name, primary_key=True)
    """`since` as text; empty where there is none."""
    tried: str = Field(sa_type=Name, primary_key=True)
    since: datetime | None
    at: datetime
    until: datetime
    number: int = Field(sa_type=Count)


class Alert(Table, table=True):
    """A changed decision that a receiver is owed or was told. Of a candidate and receiver the last id is the newest."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_ROW_ID)
    key: str = Field(sa_type=Name, unique=True, index=True)
    experiment: str = Field(sa_type=Name, index=True)
    candidate: str = Field(sa_type=Name)
    receiver: str = Field(sa_type=Name)
    decision: str
    why: str
    previous: str
    at: datetime
    state: str
    attempts: int = Field(sa_type=Count)
    due: datetime
    lease_until: datetime | None
    """Until then somebody sends it; also of one that was superseded meanwhile."""
    error: str = Field(sa_type=Remark)
    text: str = Field(sa_type=Remark, default="")
    record: bytes = Field(sa_type=LargeBinary)
    """The verdict; empty once it needs no telling."""
