"""The tables of what judges have said and spent; as those of `store/tables.py`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import LargeBinary
from sqlmodel import Field

from shadoweval.store.columns import LongCount, Name
from shadoweval.store.tables import Table

__all__ = ["Judgement", "Spending"]


class Judgement(Table, table=True):
    """What a judge said of a question about a query; it goes with the query."""

    key: str = Field(sa_type=Name, primary_key=True)
    """A hash of the judge and the question."""
    query_id: str = Field(
        sa_type=Name, primary_key=True, index=True, foreign_key="shadow_envelope.query_id", ondelete="CASCADE"
    )
    record: bytes = Field(sa_type=LargeBinary)


class Spending(Table, table=True):
    """What was spent on a judge in an hour, a day or a month."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    judge: str = Field(sa_type=Name, primary_key=True)
    period: str = Field(sa_type=Name, primary_key=True)
    at: datetime
    calls: int = Field(sa_type=LongCount)
    input_tokens: int = Field(sa_type=LongCount)
    output_tokens: int = Field(sa_type=LongCount)
    micro_usd: int = Field(sa_type=LongCount)
