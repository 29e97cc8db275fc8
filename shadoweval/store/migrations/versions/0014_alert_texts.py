"""Alerts about more than verdicts: what they say."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of alerts about verdicts it is empty."""
    op.add_column("shadow_alert", sa.Column("text", AutoString(), nullable=False, server_default=""))
