"""What a report asks of the store: the scores of all pairs as numbers, and some pairs whole. A part of `SqlStore`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select
from sqlmodel import col

from shadoweval.records import Arm, Pair, PairScore
from shadoweval.store import tables
from shadoweval.store.changes import Mark
from shadoweval.store.engine import transaction
from shadoweval.store.reading import Window, read_pairs, watermark
from shadoweval.store.rows import in_chunks
from shadoweval.store.scores import read_values, stored_scores

__all__ = ["Listing"]


class Listing:
    """Reads; `_engine` and `_count_damage` are the store's."""

    _engine: Engine

    def _count_damage(self, mark: Mark, /) -> None:
        raise NotImplementedError

    def values(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[tuple[str, Mapping[str, tuple[float, float]]]]:
        """By query, of each metric that is scored in both arms, the incumbent's score and the candidate's.

        In query order before the watermark; a pair of which no metric is scored in both arms comes too.
        """
        with transaction(self._engine) as connection:
            mark = watermark(connection, experiment, candidate)
        window = Window(experiment=experiment, candidate=candidate, since=since, until=until, before=mark)
        return read_values(self._engine, window)

    def scores_of(self, candidate: Arm, query_ids: Sequence[str]) -> Mapping[str, Sequence[PairScore]]:
        """What is stored for these queries: of each metric the score that came last."""
        return stored_scores(self._engine, candidate, query_ids)

    def pairs_of(self, experiment: str, candidate: Arm, query_ids: Sequence[str]) -> Iterator[Pair]:
        """The pairs of these queries, whatever the watermark; those that are gone are left out.

        In query order within a portion of some hundred ids.
        """
        window = Window(experiment=experiment, candidate=candidate)
        for among in in_chunks(query_ids):
            yield from read_pairs(self._engine, window, on_damage=self._count_damage, among=among)

    def gone(self, query_ids: Sequence[str]) -> set[str]:
        """Those of these queries that are not in the store (any more)."""
        envelope: Any = tables.Envelope
        there = set[str]()
        for among in in_chunks(query_ids):
            with transaction(self._engine) as connection:
                wanted = select(col(envelope.query_id)).where(col(envelope.query_id).in_(among))
                there.update(connection.execute(wanted).scalars())
        return set(query_ids) - there
