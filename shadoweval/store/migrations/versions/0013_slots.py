"""Which times of schedules were run, and by whom."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TIMES = ("at", "lease_until", "began_at", "ended_at", "due")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "shadow_slot",
        *(
            sa.Column(name, AutoString(), nullable=False)
            for name in ("experiment", "schedule", "state", "owner", "said")
        ),
        *(sa.Column(name, UTCDateTime(), nullable=name == "ended_at") for name in _TIMES),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("attempt", "missed")),
        sa.PrimaryKeyConstraint("experiment", "schedule", "at"),
    )
