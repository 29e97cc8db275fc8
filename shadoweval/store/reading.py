"""Pairs and scores in query order, read in pages: no transaction stays open while they are scored."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Engine, and_, or_, select, true, update
from sqlalchemy.orm import aliased
from sqlmodel import col

from shadoweval.codec import decode_envelope
from shadoweval.errors import CorruptFrameError
from shadoweval.records import INCUMBENT, Arm, Labels, Observation, Pair, PairScore, Score, Scored, Unscored
from shadoweval.store import tables
from shadoweval.store.blobs import load
from shadoweval.store.changes import Mark, queries_changed, query_order
from shadoweval.store.engine import repeated, transaction
from shadoweval.store.rows import in_chunks

__all__ = [
    "EXCLUDED_CANDIDATE",
    "EXCLUDED_SERVED",
    "Window",
    "read_pairs",
    "read_scores",
    "shadow_of",
    "stored_scores",
    "watermark",
]

EXCLUDED_SERVED: Final = ("aborted",)
"""Served failures that say nothing about the incumbent: the caller went away."""

EXCLUDED_CANDIDATE: Final = ("aborted", "killed")
"""Failures that are not the candidate's: its run was stopped from outside."""

_PAGE: Final = 500
_PAGE_BYTES: Final = 16 * 1024 * 1024
"""A page of more ends there, however few rows it has."""
_NO_LABELS: Final = Labels()
_FETCHED: Final = 50
"""Rows that PostgreSQL sends at a time; SQLite's are read one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which queries of an experiment: asked at or after `since` and before `until`, and earlier than `before`.

    `before` is the watermark. A look narrows it further: later than `after`, up to `last`.
    """

    experiment: str
    candidate: Arm
    since: datetime | None = None
    until: datetime | None = None
    before: Mark | None = None
    after: Mark | None = None
    last: Mark | None = None

    def spans(self, when: Any) -> Any:
        """The condition that a column with a time lies between `since` and `until`."""
        since = true() if self.since is None else col(when) >= self.since
        return since if self.until is None else and_(since, col(when) < self.until)

    def of(self, envelope: Any, *, damaged: bool = False) -> Any:
        """The condition on the envelope's columns; damaged ones only where `damaged` says so."""
        order = query_order(envelope)
        parts = [col(envelope.experiment) == self.experiment, self.spans(envelope.asked_at)]
        parts += [] if damaged else [col(envelope.damaged).is_(False)]
        parts += [] if self.before is None else [order < self.before]
        parts += [] if self.after is None else [order > self.after]
        parts += [] if self.last is None else [order <= self.last]
        return and_(*parts)


def watermark(connection: Connection, experiment: str, candidate: Arm) -> Mark | None:
    """The first query whose candidate, or whose re-run of the incumbent, has not ended; None: all have.

    The re-run holds back too: slow ones end late, and leaving them out would make the incumbent look fast.
    """
    task = tables.Task
    marks: list[Mark] = []
    unfinished = (col(task.experiment) == experiment, col(task.arm).in_((candidate, INCUMBENT)))
    for state in ("open", "leased"):  # one after the other, each by the index
        wanted = select(col(task.asked_at), col(task.query_id)).where(*unfinished, col(task.state) == state)
        row = connection.execute(wanted.order_by(col(task.asked_at), col(task.query_id)).limit(1)).first()
        if row is not None:
            marks.append((row.asked_at, row.query_id))
    return min(marks) if marks else None


def _pages(engine: Engine, query: Callable[[Mark | None], Any]) -> Iterator[list[Any]]:
    """Pages of rows with `asked_at` and `query_id`, each read in a transaction of its own."""
    after: Mark | None = None
    while True:
        with transaction(engine) as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=_FETCHED)
            with streamed.execute(query(after)) as result:
                rows = list(_at_once(result))
        if not rows:
            return
        after = (rows[-1].asked_at, rows[-1].query_id)
        yield rows


def _at_once(result: Iterable[Any]) -> Iterator[Any]:
    size = 0
    for row in result:
        yield row
        size += sum(len(value) for value in row if isinstance(value, bytes))
        if size >= _PAGE_BYTES:
            return


def read_pairs(engine: Engine, window: Window, *, on_damage: Callable[[Mark], None]) -> Iterator[Pair]:
    """Pairs of the window; a damaged row is marked and left out, once, and handed to `on_damage`."""
    envelope = tables.Envelope
    run, rerun = aliased(tables.Observation), aliased(tables.Observation)
    named = {"by_id": envelope.query_id, "by_key": envelope.key, "by_text": envelope.text_key}
    labels = [(name, aliased(tables.Label), by) for name, by in named.items()]

    def query(after: Mark | None) -> Any:
        wanted = (
            select(
                col(envelope.query_id),
                col(envelope.asked_at),
                col(envelope.frame),
                run.record.label("run"),  # type: ignore[union-attr]
                rerun.record.label("rerun"),  # type: ignore[union-attr]
                *(label.record.label(name) for name, label, _ in labels),  # type: ignore[union-attr]
            )
            .join(run, shadow_of(envelope, run, window.candidate))
            .outerjoin(rerun, shadow_of(envelope, rerun, INCUMBENT))
            .where(window.of(envelope), comparable(envelope, run))
            .order_by(col(envelope.asked_at), col(envelope.query_id))
            .limit(_PAGE)
        )
        for _, label, name in labels:
            wanted = wanted.outerjoin(label, and_(col(label.name) == col(name), col(label.name) != ""))
        return wanted if after is None else wanted.where(query_order(envelope) > after)

    for rows in _pages(engine, query):
        decoded: dict[bytes, Labels | None] = {}
        for row in rows:
            pair = _pair(row, decoded)
            if pair is None:
                mark = (row.asked_at, row.query_id)
                _mark_damaged(engine, window.experiment, mark)
                on_damage(mark)
            else:
                yield pair


def comparable(envelope: Any, run: Any) -> Any:
    """The condition under which two observations make a pair that is scored."""
    return and_(col(envelope.failed).not_in(EXCLUDED_SERVED), col(run.failed).not_in(EXCLUDED_CANDIDATE))


def shadow_of(envelope: Any, observation: Any, arm: Arm) -> Any:
    """The condition that joins an envelope with an arm's observation in the worker."""
    return and_(
        col(observation.query_id) == col(envelope.query_id),
        col(observation.arm) == arm,
        col(observation.place) == "shadow",
    )


def _labels(row: Any, decoded: dict[bytes, Labels | None]) -> Labels:
    """What is said by text, by inputs and by id; the later counts more. `decoded`: what was decoded before."""
    labels: list[Labels] = []
    for record in filter(None, (row.by_text, row.by_key, row.by_id)):
        if record not in decoded:
            with contextlib.suppress(CorruptFrameError):  # the pair goes on without them: unscored, and said so
                decoded[record] = load(record, Labels)
        if (readable := decoded.setdefault(record, None)) is not None:
            labels.append(readable)
    return functools.reduce(Labels.merged, labels) if labels else _NO_LABELS


def _pair(row: Any, decoded: dict[bytes, Labels | None]) -> Pair | None:
    try:
        envelope = decode_envelope(row.frame)
        return Pair(
            query=envelope.query,
            served=envelope.served,
            candidate=load(row.run, Observation),
            rerun=None if row.rerun is None else load(row.rerun, Observation),
            labels=_labels(row, decoded),
            stored=(row.frame, row.run, row.rerun or b""),
        )
    except CorruptFrameError:
        return None


@repeated
def _mark_damaged(engine: Engine, experiment: str, mark: Mark) -> None:
    whole = update(tables.Envelope).where(col(tables.Envelope.query_id) == mark[1]).values(damaged=True)
    with transaction(engine, write=True) as connection:
        connection.execute(whole)
        queries_changed(connection, experiment, [mark])


def read_scores(engine: Engine, window: Window) -> Iterator[PairScore]:
    """Scores of the window's queries in query order; of several scorer versions the one stored last."""
    envelope, score, later = tables.Envelope, tables.Score, aliased(tables.Score)
    newest = ~(
        select(col(later.query_id))
        .where(
            col(later.query_id) == col(score.query_id),
            col(later.arm) == col(score.arm),
            col(later.metric) == col(score.metric),
            or_(
                col(later.at) > col(score.at),
                and_(col(later.at) == col(score.at), col(later.scorer_version) > col(score.scorer_version)),
            ),
        )
        .exists()
    )

    def ids(after: Mark | None) -> Any:
        wanted = select(col(envelope.asked_at), col(envelope.query_id)).where(window.of(envelope))
        if after is not None:
            wanted = wanted.where(query_order(envelope) > after)
        return wanted.order_by(col(envelope.asked_at), col(envelope.query_id)).limit(_PAGE)

    for page in _pages(engine, ids):
        wanted = (
            select(*_score_columns())
            .join(envelope, col(envelope.query_id) == col(score.query_id))
            .where(col(score.query_id).in_([row.query_id for row in page]))
            .where(col(score.arm) == window.candidate, newest)
            .order_by(col(envelope.asked_at), col(envelope.query_id), col(score.metric))
        )
        with transaction(engine) as connection:
            rows = connection.execute(wanted).all()
        yield from (_pair_score(row) for row in rows)


def stored_scores(engine: Engine, candidate: Arm, query_ids: Sequence[str]) -> dict[str, list[PairScore]]:
    """By query, its scores: of each metric the one stored last."""
    score, newest = tables.Score, dict[tuple[str, str], PairScore]()
    for chunk in in_chunks(query_ids):
        wanted = select(*_score_columns()).where(col(score.query_id).in_(chunk), col(score.arm) == candidate)
        with transaction(engine) as connection:
            rows = connection.execute(wanted.order_by(col(score.at), col(score.scorer_version))).all()
        newest |= {(row.query_id, row.metric): _pair_score(row) for row in rows}
    by_query: dict[str, list[PairScore]] = {}
    for (query_id, _), each in newest.items():
        by_query.setdefault(query_id, []).append(each)
    return by_query


def _score_columns() -> list[Any]:
    score = tables.Score
    names = [f"{arm}{part}" for arm in ("incumbent", "candidate", "noise") for part in ("", "_reason", "_informative")]
    return [col(getattr(score, name)) for name in ("query_id", "metric", "scorer_version", "basis", *names)]


def _score(row: Any, arm: str) -> Score | None:
    value, reason = getattr(row, arm), getattr(row, f"{arm}_reason")
    if value is not None:
        return Scored(value)
    return None if reason is None else Unscored(reason, informative=getattr(row, f"{arm}_informative"))


def _pair_score(row: Any) -> PairScore:
    return PairScore(
        query_id=row.query_id,
        metric=row.metric,
        scorer_version=row.scorer_version,
        incumbent=_score(row, "incumbent") or Unscored("lost"),
        candidate=_score(row, "candidate") or Unscored("lost"),
        noise=_score(row, "noise"),
        basis=row.basis,
    )
