"""Who may replace a home's counters, workers' signs, erased queries, once each; and units as columns hold them."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from shadoweval.store.columns import stored_name

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_ALL = "SELECT query_id, unit FROM shadow_envelope WHERE "
_ODD = {
    "sqlite": _ALL + "length(CAST(unit AS BLOB)) > 500 OR instr(CAST(unit AS BLOB), X'00') > 0",
    "postgresql": _ALL + "octet_length(unit) > 500",
}


def upgrade() -> None:
    """Add the tables; units that were stored whole, though longer than an index takes now, are cut as new ones are."""
    op.create_table(
        "shadow_home",
        sa.Column("experiment", AutoString(), nullable=False),
        sa.Column("source", AutoString(), nullable=False),
        sa.Column("token", AutoString(), nullable=False),
        sa.PrimaryKeyConstraint("experiment", "source"),
    )
    op.create_table(
        "shadow_erased",
        sa.Column("query_id", AutoString(), nullable=False),
        sa.Column("asked_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("query_id"),
    )
    op.create_table(
        "shadow_owner",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("owner", "experiment", "place", "definition")),
        sa.Column("seen_at", UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_index("ix_shadow_owner_experiment", "shadow_owner", ["experiment"])
    connection = op.get_bind()
    odd: Any = connection.execute(sa.text(_ODD[connection.dialect.name]))
    changed = [{"id": row.query_id, "unit": stored_name(row.unit)} for row in odd.all()]
    if changed:
        connection.execute(sa.text("UPDATE shadow_envelope SET unit = :unit WHERE query_id = :id"), changed)
