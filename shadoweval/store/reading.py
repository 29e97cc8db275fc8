"""Pairs in query order, read in pages: no transaction stays open while they are scored."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

from sqlalchemy import Connection, Engine, Result, and_, literal, select, true, tuple_, type_coerce, update
from sqlalchemy.orm import aliased
from sqlalchemy.types import NullType
from sqlmodel import col

from shadoweval.codec import decode_envelope
from shadoweval.errors import CorruptFrameError
from shadoweval.records import INCUMBENT, Arm, Labels, Observation, Pair
from shadoweval.store import tables
from shadoweval.store.blobs import load
from shadoweval.store.changes import Mark, queries_changed, query_order
from shadoweval.store.engine import repeated, transaction

__all__ = [
    "EXCLUDED_CANDIDATE",
    "EXCLUDED_SERVED",
    "Window",
    "pages",
    "raw_time",
    "read_pairs",
    "shadow_of",
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
_FETCHED: Final = 100
"""Rows that are fetched at a time, at most."""
_FETCHED_FIRST: Final = 4
_FETCHED_BYTES: Final = 4 * 1024 * 1024
"""About what is fetched at a time: PostgreSQL's driver holds it as hexadecimal text beside the bytes made of it."""


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


def pages(engine: Engine, wanted: Any, *, size: int = _PAGE) -> Iterator[list[Any]]:
    """Pages of at most `size` wanted rows of envelopes, in query order, each read in a transaction of its own.

    Each has the envelope's `asked_at` and `query_id`; the time may be `raw_time`, which costs nothing to read.
    """
    envelope, after = tables.Envelope, cast("tuple[Any, str] | None", None)
    wanted = wanted.order_by(col(envelope.asked_at), col(envelope.query_id)).limit(size)
    kind = wanted.selected_columns.asked_at.type
    while True:
        later = None if after is None else tuple_(literal(after[0], kind), literal(after[1]))
        page = wanted if later is None else wanted.where(query_order(envelope) > later)
        with transaction(engine) as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=_FETCHED_FIRST)
            with streamed.execute(page) as result:
                rows = list(_at_once(result))
        if not rows:
            return
        after = (rows[-1].asked_at, rows[-1].query_id)
        yield rows


def raw_time(envelope: Any) -> Any:
    """The column `asked_at` as the driver gives it, for `pages` whose readers want no time."""
    return type_coerce(col(envelope.asked_at), NullType()).label("asked_at")


def _at_once(result: Result[Any]) -> Iterator[Any]:
    """Rows of one page; how many are fetched at a time goes by the bytes of those before."""
    count, size, fetched = 0, 0, _FETCHED_FIRST
    while rows := result.fetchmany(fetched):
        for row in rows:
            yield row
            size += sum(len(value) for value in row if type(value) is bytes)
            if size >= _PAGE_BYTES:
                return
        count += len(rows)
        fetched = max(1, min(_FETCHED, _FETCHED_BYTES * count // (size + 1)))


def read_pairs(
    engine: Engine, window: Window, *, on_damage: Callable[[Mark], None], among: Sequence[str] | None = None
) -> Iterator[Pair]:
    """Pairs of the window, or those `among` these queries.

    A damaged row is marked and left out, once, and handed to `on_damage`.
    """
    envelope = tables.Envelope
    run, rerun = aliased(tables.Observation), aliased(tables.Observation)
    named = {"by_id": envelope.query_id, "by_key": envelope.key, "by_text": envelope.text_key}
    labels = [(name, aliased(tables.Label), by) for name, by in named.items()]

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
    )
    if among is not None:
        wanted = wanted.where(col(envelope.query_id).in_(among))
    for _, label, name in labels:
        wanted = wanted.outerjoin(label, and_(col(label.name) == col(name), col(label.name) != ""))
    for rows in pages(engine, wanted):
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
    if len(labels) == 1:
        return labels[0]
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
