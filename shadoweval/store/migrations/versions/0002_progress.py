"""What a look at the pairs leaves for the next one; labels find their queries by an index."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the index."""
    op.create_table(
        "shadow_progress",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "arm", "token")),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.Column("query_id", AutoString(), nullable=False),
        sa.Column("since", UTCDateTime(), nullable=True),
        sa.Column("purpose", AutoString(), nullable=False),
        sa.Column("fates", sa.LargeBinary(), nullable=False),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "arm", "token"),
    )
    op.create_index("ix_shadow_envelope_key", "shadow_envelope", ["key"])
