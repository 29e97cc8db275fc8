"""The table of schedules' times; as those of `store/tables.py`."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Field

from shadoweval.store.columns import Count, Name, Remark
from shadoweval.store.tables import Table

__all__ = ["Slot"]


class Slot(Table, table=True):
    """One time of a schedule, and what became of it. Of a schedule the last time is the newest."""

    experiment: str = Field(sa_type=Name, primary_key=True)
    schedule: str = Field(sa_type=Name, primary_key=True)
    at: datetime = Field(primary_key=True)
    state: str
    attempt: int = Field(sa_type=Count)
    missed: int = Field(sa_type=Count)
    owner: str = Field(sa_type=Remark)
    lease_until: datetime
    """Until then, and for as long as its owner lives, nobody else runs it."""
    began_at: datetime
    ended_at: datetime | None
    due: datetime
    said: str = Field(sa_type=Remark)
