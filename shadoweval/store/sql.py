"""The store on SQLite (one host) and PostgreSQL (many)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import select
from sqlmodel import col

from shadoweval.clock import Clock
from shadoweval.errors import CorruptFrameError, StoreError
from shadoweval.protocols import Attempt, WindowStart
from shadoweval.records import Annotation, Arm, Coverage, Evaluation, Labels, Pair, PairScore
from shadoweval.store import tables
from shadoweval.store.annotations import merge_annotations
from shadoweval.store.blobs import dump, load
from shadoweval.store.changes import Mark, merge_labels
from shadoweval.store.engine import open_engine, repeated, transaction
from shadoweval.store.erasure import drop_old_evaluations, erase, purge, shown_as_far_as_there
from shadoweval.store.funnel import count_funnel
from shadoweval.store.homes import replace_counters, write_counters
from shadoweval.store.judgements import Judgements
from shadoweval.store.listing import Listing
from shadoweval.store.looks import StoredLook, begin_look
from shadoweval.store.outbox import SqlOutbox, owe
from shadoweval.store.rates import reserve_time
from shadoweval.store.reading import Window, read_pairs, watermark
from shadoweval.store.rows import aside_key, insert_new, upsert
from shadoweval.store.scores import read_scores, write_scores
from shadoweval.store.slots import SqlSlots
from shadoweval.store.tasks import TaskQueue
from shadoweval.store.windows import read_attempts, read_windows, write_attempts, write_window

__all__ = ["SqlStore"]


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who changed what, when and why."""

    at: datetime
    who: str
    what: str
    old: str = ""
    new: str = ""
    reason: str = ""


class SqlStore(TaskQueue, Listing, Judgements):
    """A `protocols.Store` in a database. Safe to use from several threads, processes and (PostgreSQL) hosts.

    Args:
        url: `sqlite:////folder/shadow.db` or `postgresql://user@host/name`.
        clock: Now, as an aware datetime; None: the database's, which is the same for all hosts.

    Raises:
        StoreError: it can't be opened; NewerDatabaseError: a later version wrote it, nothing was changed.
    """

    def __init__(self, url: str, *, clock: Clock | None = None) -> None:
        self.damaged: Counter[str] = Counter()
        """Rows that this object found unreadable and left out, by table."""
        self.dropped = 0
        """Scores that came for queries that were erased meanwhile."""
        super().__init__(open_engine(url), clock=clock)
        self.outbox = SqlOutbox(self._engine, clock=clock)
        self.slots = SqlSlots(self._engine, clock=clock)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @repeated
    def set_aside(self, experiment: str, frame: bytes, reason: str, *, place: str = "") -> None:
        """Keep what can't be used, with its reason; the same bytes from the same place once, so often as they come."""
        row: dict[str, Any] = {"experiment": experiment, "reason": reason, "frame": frame}
        row["id"] = aside_key(experiment, frame, place)
        with transaction(self._engine, write=True) as connection:
            row["at"] = self._now(connection)
            insert_new(connection, tables.Aside, [row])

    @repeated
    def add_labels(self, labels: Mapping[str, Labels]) -> int:
        """Merge labels by query id or `Query.key`. Returns how many changed something."""
        with transaction(self._engine, write=True) as connection:
            return merge_labels(connection, labels, self._now(connection))

    @repeated
    def add_annotations(self, experiment: str, annotations: Sequence[tuple[str, Annotation]]) -> tuple[int, list[int]]:
        """Merge people's marks for answers that are there; returns how many are new, and the places of the others."""
        with transaction(self._engine, write=True) as connection:
            return merge_annotations(connection, experiment, annotations, now=self._now(connection))

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

    def _count_damage(self, mark: Mark, /) -> None:  # noqa: ARG002 - how many is enough
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

    @repeated
    def add_scores(self, experiment: str, candidate: Arm, scores: Sequence[PairScore]) -> None:  # noqa: ARG002 - the query knows its experiment
        """Keep scores; the same metric and query replaces. Scores of erased queries are dropped."""
        with transaction(self._engine, write=True) as connection:
            self.dropped += write_scores(connection, candidate, scores)

    def scores(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[PairScore]:
        """Stored scores in query order, before the watermark; of each metric the one stored last."""
        window = self._window(experiment, candidate, since=since, until=until, marked=True)
        return read_scores(self._engine, window)

    @repeated
    def add_evaluation(self, evaluation: Evaluation, *, receivers: Sequence[str] = ()) -> None:
        """Keep an evaluation whole; the same id replaces. Of each experiment the newest thousand stay.

        Each of `receivers` is owed the decisions that it was not told.
        """
        evaluation = msgspec.structs.replace(evaluation, queries={})  # they are the store's own already
        row: dict[str, Any] = {
            "id": evaluation.id,
            "experiment": evaluation.experiment,
            "created_at": evaluation.created_at,
        }
        with transaction(self._engine, write=True) as connection:
            row |= {"record": dump(shown_as_far_as_there(connection, evaluation))}
            upsert(connection, tables.Evaluation, [row])
            drop_old_evaluations(connection, evaluation.experiment)
            owe(connection, evaluation, receivers, now=self._now(connection))

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

    @repeated
    def add_window(self, experiment: str, start: WindowStart) -> None:
        """Write down that a window begins; the one written last holds."""
        with transaction(self._engine, write=True) as connection:
            write_window(connection, experiment, start)

    def windows(self, experiment: str) -> Sequence[WindowStart]:
        """All beginnings of windows, the one written last first."""
        with transaction(self._engine) as connection:
            return read_windows(connection, experiment)

    @repeated
    def add_attempts(self, experiment: str, attempts: Sequence[Attempt]) -> None:
        """Write down what was tried; the same candidate, window and text replaces."""
        with transaction(self._engine, write=True) as connection:
            write_attempts(connection, experiment, attempts)

    def attempts(self, experiment: str) -> Sequence[Attempt]:
        """What was tried, the first one first."""
        with transaction(self._engine) as connection:
            return read_attempts(connection, experiment)

    @repeated
    def add_counters(self, experiment: str, source: str, counters: Mapping[str, int]) -> None:
        """Keep the last snapshot of one process's counters (`source` names the process); it replaces the one before."""
        with transaction(self._engine, write=True) as connection:
            write_counters(connection, counters, experiment=experiment, source=source)

    def reserve(self, experiment: str, endpoint: str, *, seconds: float, longest: float) -> float:
        """Reserve the time at which one more run may begin, over all workers; see `rates.reserve_time`."""
        with transaction(self._engine, write=True) as connection:
            return reserve_time(connection, experiment, endpoint, seconds=seconds, longest=longest)

    @repeated
    def replace_counters(
        self, experiment: str, source: str, counters: Mapping[str, int], *, token: str, known: Collection[str]
    ) -> bool:
        """Keep the newest counters of a home, unless the last ones were kept under a token that is not `known`."""
        with transaction(self._engine, write=True) as connection:
            return replace_counters(
                connection, counters, experiment=experiment, source=source, token=token, known=known
            )

    @repeated
    def audit(self, *, who: str, what: str, old: str = "", new: str = "", reason: str = "") -> None:
        """Write down that someone changed something (flag, kill switch, gate, erasure)."""
        row: dict[str, Any] = {"who": who, "what": what, "old": old, "new": new, "reason": reason}
        with transaction(self._engine, write=True) as connection:
            row["at"] = self._now(connection)
            insert_new(connection, tables.Audit, [row])

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
        In small transactions, as `purge`; from the first one on nothing of theirs comes in.

        Raises:
            StoreError: the unit is empty.
        """
        if not unit:
            raise StoreError("An empty unit stands for nobody, so nothing was erased. Name a user or session.")
        return erase(self._engine, unit, now=self._clock)

    def purge(self, before: datetime) -> int:
        """Delete queries asked before `before`, and what was derived from them. Returns how many queries.

        In small transactions: who writes meanwhile waits for one of them. Where it is broken off, the next one goes on.
        """
        return purge(self._engine, before)
