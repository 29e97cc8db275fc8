"""What scorers said of one pair lies in one row, of each metric the last: a first look writes few rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Engine, and_, select
from sqlmodel import col

from shadoweval.errors import CorruptFrameError
from shadoweval.records import Arm, PairScore, Score, Scored, Unscored
from shadoweval.store import tables
from shadoweval.store.blobs import dump_all, load
from shadoweval.store.columns import stored_remark
from shadoweval.store.engine import hold, transaction
from shadoweval.store.reading import Window, pages, raw_time
from shadoweval.store.rows import in_chunks, upsert

__all__ = ["read_scores", "read_values", "stored_scores", "write_scores"]

_VALUES_PAGE: Final = 5_000


class _Value(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="scored"):
    """A `Scored`, of whose value nothing is asked."""

    value: float


class _OfEveryPair(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A `PairScore` of a metric that is made of every pair, without the fields that speak of drawing."""

    metric: str
    query_id: str
    incumbent: Score
    candidate: Score
    scorer_version: str
    noise: Score | None
    basis: str


class _NoValue(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="unscored"):
    """An `Unscored`, without its reason."""


class _Values(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The first fields of a `PairScore`; those behind are not read."""

    metric: str
    query_id: msgspec.Raw
    incumbent: _Value | _NoValue
    candidate: _Value | _NoValue


def write_scores(connection: Connection, candidate: Arm, scores: Sequence[PairScore]) -> int:
    """Keep scores beside those of other metrics; of the same metric they replace. Returns how many had no query."""
    hold(connection, "scores")  # what is there is read before it is written
    by_query: defaultdict[str, list[PairScore]] = defaultdict(list)
    for score in scores:
        by_query[score.query_id].append(_shortened(score))
    envelope, row, written = tables.Envelope, tables.Scores, 0
    for chunk in in_chunks(sorted(by_query)):
        wanted = (
            select(col(envelope.query_id), col(row.record))
            .outerjoin(row, and_(col(row.query_id) == col(envelope.query_id), col(row.arm) == candidate))
            .where(col(envelope.query_id).in_(chunk))
        )
        rows: list[dict[str, Any]] = []
        for query_id, before in connection.execute(wanted).all():
            written += len(by_query[query_id])
            newest = {score.metric: score for score in (*_readable(before), *by_query[query_id])}
            rows.append({"query_id": query_id, "arm": candidate, "record": dump_all(map(_compact, newest.values()))})
        upsert(connection, row, rows)
    return len(scores) - written


def stored_scores(engine: Engine, candidate: Arm, query_ids: Sequence[str]) -> dict[str, list[PairScore]]:
    """By query, its scores: of each metric the one stored last."""
    row = tables.Scores
    by_query: dict[str, list[PairScore]] = {}
    for chunk in in_chunks(query_ids):
        wanted = select(col(row.query_id), col(row.record)).where(
            col(row.query_id).in_(chunk), col(row.arm) == candidate
        )
        with transaction(engine) as connection:
            rows = connection.execute(wanted).all()
        by_query |= {query_id: scores for query_id, record in rows if (scores := _readable(record))}
    return by_query


def read_scores(engine: Engine, window: Window) -> Iterator[PairScore]:
    """Scores of the window's queries in query order; of each metric the one stored last."""
    envelope, row = tables.Envelope, tables.Scores
    wanted = (
        select(col(envelope.asked_at), col(envelope.query_id), col(row.record))
        .join(row, and_(col(row.query_id) == col(envelope.query_id), col(row.arm) == window.candidate))
        .where(window.of(envelope))
    )
    for page in pages(engine, wanted):
        for each in page:
            yield from sorted(_readable(each.record), key=lambda score: score.metric)


def read_values(engine: Engine, window: Window) -> Iterator[tuple[str, dict[str, tuple[float, float]]]]:
    """By query of the window, in query order: of each metric that is scored in both arms both values.

    A million of them are read for a report, so of a record no more is made than is wanted.
    """
    envelope, row = tables.Envelope, tables.Scores
    wanted = (
        select(raw_time(envelope), col(envelope.query_id), col(row.record))
        .join(row, and_(col(row.query_id) == col(envelope.query_id), col(row.arm) == window.candidate))
        .where(window.of(envelope))
    )
    decode = msgspec.msgpack.Decoder(list[_Values]).decode
    for page in pages(engine, wanted, size=_VALUES_PAGE):
        for _, query_id, record in page:
            try:
                scores = decode(record)
            except msgspec.MsgspecError:  # damaged: it is no evidence either
                continue
            yield (
                query_id,
                {
                    each.metric: (each.incumbent.value, each.candidate.value)
                    for each in scores
                    if isinstance(each.incumbent, _Value) and isinstance(each.candidate, _Value)
                },
            )


def _readable(record: bytes | None) -> list[PairScore]:
    """The scores in a row; none where it is damaged, so that they are made anew."""
    try:
        return [] if record is None else load(record, list[PairScore])
    except CorruptFrameError:
        return []


def _compact(score: PairScore) -> PairScore | _OfEveryPair:
    """The score as it is written; of ten million scores ten bytes each are much."""
    if score.chance != 1.0 or score.proxies is not None:
        return score
    return _OfEveryPair(
        score.metric,
        score.query_id,
        score.incumbent,
        score.candidate,
        score.scorer_version,
        score.noise,
        score.basis,
    )


def _shortened(score: PairScore) -> PairScore:
    """The score, its reasons as a person reads them."""
    if type(score.incumbent) is type(score.candidate) is Scored and type(score.noise) is not Unscored:
        return score  # as nearly always
    sides: dict[str, Score | None] = {"incumbent": score.incumbent, "candidate": score.candidate, "noise": score.noise}
    reasons = {side: value for side, value in sides.items() if isinstance(value, Unscored)}
    readable = {
        side: msgspec.structs.replace(value, reason=stored_remark(value.reason)) for side, value in reasons.items()
    }
    return msgspec.structs.replace(score, **readable)
