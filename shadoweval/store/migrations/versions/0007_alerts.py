"""Alerts are owed, in the transaction of the evaluation that they tell, until their receiver took them."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("key", "experiment", "candidate", "receiver", "decision", "why", "previous", "state", "error")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "shadow_alert",
        sa.Column("id", _ROW_ID, nullable=False),
        *(sa.Column(name, AutoString(), nullable=False) for name in _TEXTS),
        *(sa.Column(name, UTCDateTime(), nullable=name == "lease_until") for name in ("at", "due", "lease_until")),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_shadow_alert_experiment", "shadow_alert", ["experiment"])
    op.create_index("ix_shadow_alert_key", "shadow_alert", ["key"], unique=True)
