"""Under which definitions of an experiment calls are mirrored."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; earlier calls name no definition."""
    op.create_table(
        "shadow_definition",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("experiment", "definition", "entry", "process")),
        *(sa.Column(name, UTCDateTime(), nullable=False) for name in ("first_at", "last_at")),
        sa.PrimaryKeyConstraint("experiment", "definition"),
    )
