"""When the next run that may connect to an endpoint may begin, over all workers."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "shadow_rate",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "endpoint")),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "endpoint"),
    )
