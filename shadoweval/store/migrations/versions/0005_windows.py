"""When windows began, by whom and why; and the ledger of what was tried on their pairs."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add both tables."""
    op.create_table(
        "shadow_window",
        sa.Column("id", _ROW_ID, nullable=False),
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "candidate", "who", "why")),
        *(sa.Column(name, UTCDateTime(), nullable=False) for name in ("since", "at")),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_shadow_window_experiment", "shadow_window", ["experiment"])
    op.create_table(
        "shadow_attempt",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "candidate", "began", "tried")),
        sa.Column("since", UTCDateTime(), nullable=True),
        *(sa.Column(name, UTCDateTime(), nullable=False) for name in ("at", "until")),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "candidate", "began", "tried"),
    )
