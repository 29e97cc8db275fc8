"""What a stored score rests on, and whether the reason of a missing one may lie in the answer: it can be used again."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; scores that were stored before have no basis, so they are made anew."""
    op.add_column("shadow_score", sa.Column("basis", AutoString(), nullable=False, server_default=""))
    for arm in ("incumbent", "candidate", "noise"):
        column = sa.Column(f"{arm}_informative", sa.Boolean(), nullable=False, server_default=sa.true())
        op.add_column("shadow_score", column)
