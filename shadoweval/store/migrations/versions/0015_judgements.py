"""What judges have said and spent."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_COUNTS = ("calls", "input_tokens", "output_tokens", "micro_usd")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "shadow_judgement",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("key", "query_id")),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["shadow_envelope.query_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "query_id"),
    )
    op.create_index("ix_shadow_judgement_query_id", "shadow_judgement", ["query_id"])
    op.create_table(
        "shadow_spending",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "judge", "period")),
        sa.Column("at", UTCDateTime(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.PrimaryKeyConstraint("experiment", "judge", "period"),
    )
