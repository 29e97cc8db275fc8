"""All scores of a pair lie in one row: of each metric the one that was stored last."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_ARMS = ("incumbent", "candidate", "noise")
_AT_ONCE = 500


def upgrade() -> None:
    """Add the table, take the scores over, and drop the one that had a row for each metric and scorer version."""
    new = op.create_table(
        "shadow_scores",
        *(sa.Column(name, AutoString(), nullable=False) for name in ("query_id", "arm")),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("query_id", "arm"),
        sa.ForeignKeyConstraint(["query_id"], ["shadow_envelope.query_id"], ondelete="CASCADE"),
    )
    rows: list[dict[str, Any]] = []
    for row in _rows():
        rows.append(row)
        if len(rows) == _AT_ONCE:
            op.bulk_insert(new, rows)
            rows = []
    op.bulk_insert(new, rows)
    op.drop_table("shadow_score")


def _rows() -> Iterator[dict[str, Any]]:
    old = sa.text("SELECT * FROM shadow_score ORDER BY query_id, arm, at, scorer_version")
    read = op.get_bind().execute(old, execution_options={"stream_results": True, "max_row_buffer": _AT_ONCE})
    for (query_id, arm), scores in groupby(read, key=lambda row: (row.query_id, row.arm)):
        newest = {row.metric: _record(row) for row in scores}
        yield {"query_id": query_id, "arm": arm, "record": msgspec.msgpack.encode(list(newest.values()))}


def _record(row: Any) -> list[Any]:
    """As `PairScore` was written by this version."""
    incumbent, candidate, noise = (_side(row, arm) for arm in _ARMS)
    lost = ["unscored", "lost", True]
    return [row.metric, row.query_id, incumbent or lost, candidate or lost, row.scorer_version, noise, row.basis]


def _side(row: Any, arm: str) -> list[Any] | None:
    value, reason, informative = (getattr(row, f"{arm}{part}") for part in ("", "_reason", "_informative"))
    if value is not None:
        return ["scored", value]
    return None if reason is None else ["unscored", reason, bool(informative)]
