"""What judges have said of queries and spent on them, for all processes. A part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, select
from sqlmodel import col

from shadoweval.store.engine import repeated, transaction
from shadoweval.store.judge_tables import Judgement, Spending
from shadoweval.store.rows import in_chunks, insert_new, upsert
from shadoweval.store.tables import Envelope

__all__ = ["Judgements"]


class Judgements:
    """Replies and spending of judges; `_engine` and `_now` are the store's."""

    _engine: Engine

    def _now(self, connection: Connection, /) -> datetime:
        raise NotImplementedError

    def judgements(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these keys."""
        kept: dict[str, bytes] = {}
        for chunk in in_chunks(keys):
            wanted = select(col(Judgement.key), col(Judgement.record)).where(col(Judgement.key).in_(chunk))
            with transaction(self._engine) as connection:
                kept |= {row.key: row.record for row in connection.execute(wanted).all()}
        return kept

    @repeated
    def add_judgement(self, key: str, record: bytes, *, query_id: str) -> None:
        """Keep a reply about a query, once; of a query that is not there (any more) nothing is kept."""
        there = select(col(Envelope.query_id)).where(col(Envelope.query_id) == query_id)
        with transaction(self._engine, write=True) as connection:
            if connection.execute(there).scalar() is not None:
                insert_new(connection, Judgement, [{"key": key, "query_id": query_id, "record": record}])

    @repeated
    def spending(self, experiment: str, judge: str) -> Mapping[str, Mapping[str, int]]:
        """By period, what was spent on a judge, as `spend` counts it."""
        counted = ("calls", "input_tokens", "output_tokens", "micro_usd")
        wanted = select(col(Spending.period), *(col(getattr(Spending, name)) for name in counted))
        wanted = wanted.where(col(Spending.experiment) == experiment, col(Spending.judge) == judge)
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).all()
        return {row[0]: dict(zip(counted, row[1:], strict=True)) for row in rows}

    @repeated
    def spend(self, experiment: str, judge: str, period: str, *, spent: Mapping[str, int]) -> Mapping[str, int]:
        """Add calls, tokens and millionths of a dollar to what was spent in a period; returns all of it."""
        key = {"experiment": experiment, "judge": judge, "period": period}
        same = [col(getattr(Spending, name)) == value for name, value in key.items()]
        with transaction(self._engine, write=any(spent.values())) as connection:
            if any(spent.values()):
                row: dict[str, Any] = {**key, "at": self._now(connection), **spent}
                upsert(connection, Spending, [row], added=tuple(spent))
            columns = [col(getattr(Spending, name)) for name in spent]
            total = connection.execute(select(*columns).where(*same)).one_or_none()
        return dict(zip(spent, [0] * len(spent) if total is None else total, strict=True))
