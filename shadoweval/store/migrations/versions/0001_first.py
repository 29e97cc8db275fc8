"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, AutoString(), nullable=nullable) for name in names]


def _of_query() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["query_id"], ["shadow_envelope.query_id"], ondelete="CASCADE")


def _traffic() -> None:
    op.create_table(
        "shadow_envelope",
        *_text("query_id", "experiment"),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        *_text("entry", "key", "cluster", "unit"),
        sa.Column("duration", sa.Float(), nullable=False),
        *_text("failed"),
        sa.Column("damaged", sa.Boolean(), nullable=False),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("query_id"),
    )
    op.create_index("ix_shadow_envelope_unit", "shadow_envelope", ["unit"])
    op.create_index("shadow_envelope_order", "shadow_envelope", ["experiment", "asked_at", "query_id"])
    op.create_table(
        "shadow_task",
        *_text("query_id", "arm", "experiment"),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.Column("draw", sa.Integer(), nullable=False),
        *_text("state"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        *_text("owner"),
        sa.Column("lease_until", UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("query_id", "arm"),
        _of_query(),
    )
    op.create_index("shadow_task_order", "shadow_task", ["experiment", "state", "asked_at", "query_id", "draw"])
    op.create_table(
        "shadow_observation",
        *_text("query_id", "arm", "place"),
        sa.Column("duration", sa.Float(), nullable=False),
        *_text("failed"),
        sa.Column("live_writes", sa.Integer(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", "arm", "place"),
        _of_query(),
    )


def _judgement() -> None:
    scores = [
        column
        for side in ("incumbent", "candidate", "noise")
        for column in (sa.Column(side, sa.Float(), nullable=True), *_text(f"{side}_reason", nullable=True))
    ]
    op.create_table(
        "shadow_score",
        *_text("query_id", "arm", "metric", "scorer_version"),
        sa.Column("at", UTCDateTime(), nullable=False),
        *scores,
        sa.PrimaryKeyConstraint("query_id", "arm", "metric", "scorer_version"),
        _of_query(),
    )
    op.create_table(
        "shadow_label",
        *_text("name"),
        sa.Column("at", UTCDateTime(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "shadow_evaluation",
        *_text("id", "experiment"),
        sa.Column("created_at", UTCDateTime(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("shadow_evaluation_order", "shadow_evaluation", ["experiment", "created_at"])


def _records() -> None:
    op.create_table(
        "shadow_aside",
        sa.Column("id", _ROW_ID, nullable=False),
        *_text("experiment"),
        sa.Column("at", UTCDateTime(), nullable=False),
        *_text("reason"),
        sa.Column("frame", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_shadow_aside_experiment", "shadow_aside", ["experiment"])
    op.create_table(
        "shadow_counter",
        *_text("experiment", "source", "name"),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "source", "name"),
    )
    op.create_table(
        "shadow_audit",
        sa.Column("id", _ROW_ID, nullable=False),
        sa.Column("at", UTCDateTime(), nullable=False),
        *_text("who", "what", "old", "new", "reason"),
        sa.PrimaryKeyConstraint("id"),
    )


def upgrade() -> None:
    """Make all tables."""
    _traffic()
    _judgement()
    _records()
