"""The few runs that wrote live, by an index of their own: a look counts them over all runs that there are."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_WROTE = sa.text("live_writes > 0")


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "shadow_observation_wrote",
        "shadow_observation",
        ["query_id"],
        sqlite_where=_WROTE,
        postgresql_where=_WROTE,
    )
