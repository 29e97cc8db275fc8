"""By what text labels find a query, beside its key, which is that of its inputs."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; what was stored before keeps the key that it has, which was its text's."""
    op.add_column("shadow_envelope", sa.Column("text_key", AutoString(), nullable=False, server_default=""))
    op.create_index("ix_shadow_envelope_text_key", "shadow_envelope", ["text_key"])
