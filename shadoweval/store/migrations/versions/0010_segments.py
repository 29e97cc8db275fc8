"""What looks leave lies in parts that are not written again: the ids of a day."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table and the column; what looks left before is of another form, so the next ones begin anew."""
    op.execute("DELETE FROM shadow_progress")
    op.add_column("shadow_progress", sa.Column("segments", sa.LargeBinary(), nullable=False, server_default="[]"))
    op.create_table(
        "shadow_segment",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "arm", "name")),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "arm", "name"),
    )
