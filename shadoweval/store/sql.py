"""The store on SQLite (one host) and PostgreSQL (many)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

import msgspec
from sqlalchemy import select
from sqlmodel import col

from shadoweval.clock import Clock, utc_now
from shadoweval.errors import CorruptFrameError, StoreError
from shadoweval.records import Arm, Coverage, Evaluation, Labels, Pair, PairScore
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load, score_row
from shadoweval.store.changes import Mark, merge_labels
from shadoweval.store.engine import empty_log, open_engine, transaction
from shadoweval.store.erasure import erase_unit, purge_before
from shadoweval.store.funnel import count_funnel
from shadoweval.store.looks import StoredLook, begin_look
from shadoweval.store.reading import Window, read_pairs, read_scores, watermark
from shadoweval.store.tasks import TaskQueue

__all__ = ["SqlStore"]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what, when and why."""

    at: datetime
    who: str
    what: str
    old: str = ""
    new: str = ""
    reason: str = ""


class SqlStore(TaskQueue):
    """A `protocols.Store` in a database. Safe to use from several threads, processes and (PostgreSQL) hosts.

    Args:
        url: `sqlite:////folder/shadow.db` or `postgresql://user@host/name`.
        clock: Now, as an aware datetime.

    Raises:
        StoreError: it can't be opened; NewerDatabaseError: a later version wrote it, nothing was changed.
    """

    def __init__(self, url: str, *, clock: Clock = utc_now) -> None:
        self.damaged: Counter[str] = Counter()
        """Rows that this object found unreadable and left out, by table."""
        super().__init__(open_engine(url), clock=clock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def set_aside(self, experiment: str, frame: bytes, reason: str) -> None:
        """Keep what can't be used, with its reason."""
        row = {"experiment": experiment, "at": self._clock(), "reason": reason, "frame": frame}
        with transaction(self._engine, write=True) as connection:
            tables.insert_new(connection, tables.Aside, [row])

    def add_labels(self, labels: Mapping[str, Labels]) -> int:
        """Merge labels by query id or `Query.key`. Returns how many changed something."""
        with transaction(self._engine, write=True) as connection:
            return merge_labels(connection, labels, self._clock())

    def pairs(
        self,
        experiment: str,
        candidate: Arm,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        watermark: bool = True,
    ) -> Iterator[Pair]:
        """Pairs in query order (asked_at, id), read in pages, asked at or after `since` and before `until`.

        They end before the watermark: the first query whose candidate or incumbent re-run is still open or leased.
        Left out, and counted in `funnel`: served calls that the caller aborted, runs of the candidate that were
        stopped from outside (`killed`, `aborted`), and rows that can't be read.

        Without `watermark` all finished pairs come, for people; a verdict on them would favour the faster arm.
        """
        window = self._window(experiment, candidate, since=since, until=until, marked=watermark)
        return read_pairs(self._engine, window, on_damage=self._count_damage)

    def look(
        self,
        experiment: str,
        candidate: Arm,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        purpose: str = "",
        anew: bool = False,
    ) -> StoredLook:
        """A look at the pairs of a window that takes up where the last one of the same purpose and `since` ended.

        What a look left is gone as soon as anything it rests on changes: a late query, observation or label, an
        erasure. Nothing is left and taken up without a purpose, or with `anew`.
        """
        window = Window(experiment=experiment, candidate=candidate, since=since, until=until)
        return begin_look(self._engine, window, purpose=purpose, anew=anew, on_damage=self._count_damage)

    def _count_damage(self, _mark: Mark) -> None:
        self.damaged["pair"] += 1

    def _window(
        self, experiment: str, candidate: Arm, *, since: datetime | None, until: datetime | None, marked: bool
    ) -> Window:
        with transaction(self._engine) as connection:
            mark = watermark(connection, experiment, candidate) if marked else None
        return Window(experiment=experiment, candidate=candidate, since=since, until=until, before=mark)

    def funnel(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Coverage:
        """Where every mirrored query is. A window begins with what is stored, since counters know no times."""
        window = self._window(experiment, candidate, since=since, until=until, marked=True)
        with transaction(self._engine) as connection:
            return count_funnel(connection, window)

    def add_scores(self, experiment: str, candidate: Arm, scores: Sequence[PairScore]) -> None:  # noqa: ARG002 - the query knows its experiment
        """Keep scores; the same metric, scorer version and query replaces. Scores of erased queries are dropped."""
        now = self._clock()
        envelope = tables.Envelope
        with transaction(self._engine, write=True) as connection:
            for chunk in tables.in_chunks(scores):
                ids = {score.query_id for score in chunk}
                wanted = select(col(envelope.query_id)).where(col(envelope.query_id).in_(ids))
                known = set(connection.execute(wanted).scalars().all())
                rows = [score_row(score, candidate, now) for score in chunk if score.query_id in known]
                tables.upsert(connection, tables.Score, rows)

    def scores(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[PairScore]:
        """Stored scores in query order, before the watermark; of several scorer versions the one stored last."""
        window = self._window(experiment, candidate, since=since, until=until, marked=True)
        return read_scores(self._engine, window)

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Keep an evaluation whole; the same id replaces."""
        row = {
            "id": evaluation.id,
            "experiment": evaluation.experiment,
            "created_at": evaluation.created_at,
            "record": dump(evaluation),
        }
        with transaction(self._engine, write=True) as connection:
            tables.upsert(connection, tables.Evaluation, [row])

    def evaluations(self, experiment: str, *, limit: int = 1) -> Sequence[Evaluation]:
        """The newest evaluations, newest first; unreadable ones are counted in `damaged` and left out."""
        table = tables.Evaluation
        wanted = (
            select(col(table.record))
            .where(col(table.experiment) == experiment)
            .order_by(col(table.created_at).desc(), col(table.id).desc())
            .limit(limit)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(wanted).scalars().all()
        evaluations: list[Evaluation] = []
        for record in rows:
            try:
                evaluations.append(load(record, Evaluation))
            except CorruptFrameError:
                self.damaged["evaluation"] += 1
        return evaluations

    def add_counters(self, experiment: str, source: str, counters: Mapping[str, int]) -> None:
        """Keep the last snapshot of one process's counters (`source` names the process); it replaces the one before."""
        rows = [
            {"experiment": experiment, "source": source, "name": name, "value": value}
            for name, value in counters.items()
        ]
        with transaction(self._engine, write=True) as connection:
            tables.upsert(connection, tables.Counter, rows)

    def audit(self, *, who: str, what: str, old: str = "", new: str = "", reason: str = "") -> None:
        """Write down that someone changed something (flag, kill switch, gate, erasure)."""
        row = {"at": self._clock(), "who": who, "what": what, "old": old, "new": new, "reason": reason}
        with transaction(self._engine, write=True) as connection:
            tables.insert_new(connection, tables.Audit, [row])

    def audits(self, *, limit: int = 100) -> Sequence[AuditEntry]:
        """The newest audit entries, newest first."""
        table = tables.Audit
        columns = (table.at, table.who, table.what, table.old, table.new, table.reason)
        with transaction(self._engine) as connection:
            rows = connection.execute(select(*map(col, columns)).order_by(col(table.id).desc()).limit(limit)).all()
        return [
            AuditEntry(at=row.at, who=row.who, what=row.what, old=row.old, new=row.new, reason=row.reason)
            for row in rows
        ]

    def erase(self, unit: str) -> int:
        """Delete all that this user or session asked, and what was derived from it. Returns how many queries.

        SQLite's file keeps no remains. What they asked until now and still lies in a spool is dropped when it comes.

        Raises:
            StoreError: the unit is empty.
        """
        if not unit:
            raise StoreError("An empty unit stands for nobody, so nothing was erased. Name a user or session.")
        with transaction(self._engine, write=True) as connection:
            count = erase_unit(connection, unit, self._clock())
        empty_log(self._engine)
        return count

    def purge(self, before: datetime) -> int:
        """Delete queries asked before `before`, and what was derived from them. Returns how many queries."""
        with transaction(self._engine, write=True) as connection:
            count = purge_before(connection, before)
        empty_log(self._engine)
        return count
