"""One look at a candidate's pairs: the state that an earlier look saved, and only the pairs that came since.

Some older states stand beside the newest one: what comes late takes away those that reach beyond its place, and the
next look goes on from the newest that is left.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, select, update
from sqlmodel import col

from shadoweval.records import Coverage, Pair, PairScore
from shadoweval.store import tables
from shadoweval.store.changes import Mark, drop_unneeded_segments
from shadoweval.store.engine import repeated, transaction
from shadoweval.store.funnel import PAIRED, count_fates, count_live_writes, coverage_of
from shadoweval.store.reading import Window, read_pairs, watermark
from shadoweval.store.rows import in_chunks, insert_new, upsert
from shadoweval.store.scores import stored_scores

__all__ = ["StoredLook", "begin_look"]

_DISTANCES: Final = (500, 4_000, 32_000)
"""Queries by which older states lie behind the newest one: of each stretch between them, one is kept."""
_OLDER: Final = "="


@dataclass(frozen=True, slots=True)
class _Saved:
    mark: Mark
    fates: Counter[str]
    record: bytes
    segments: Mapping[str, bytes]


class StoredLook:
    """A `protocols.Look` at a database. Make it with `begin_look`."""

    def __init__(
        self, engine: Engine, window: Window, *, saved: _Saved | None, token: str, on_damage: Callable[[Mark], None]
    ) -> None:
        self._engine, self._window, self._token = engine, window, token
        self.saved = None if saved is None else saved.record
        """The state that an earlier look saved; None: there is none that still holds."""
        self.segments: Mapping[str, bytes] = {} if saved is None else saved.segments
        """By name, the parts of that state that lie by themselves."""
        self._read = window.last
        self._known = Counter[str]() if saved is None else saved.fates
        fates = self._known.copy()
        self.expected = 0
        """About how many pairs are to come."""
        whole = replace(window, after=None, last=None)
        with transaction(engine) as connection:
            if window.last is not None:
                new = count_fates(connection, window)
                fates += new
                self.expected = new[PAIRED]
            beyond = count_fates(connection, replace(whole, after=window.last), waiting=True)
            self.coverage: Coverage = coverage_of(connection, whole, fates + beyond)
            """The funnel of the whole window; `distinct` is left at 0."""
            self.live_writes: int = count_live_writes(connection, whole)
            """Of all runs in the window, those that are no pair among them."""
        self.pairs: Iterator[Pair] = self._pairs(on_damage)
        """The pairs that `saved` does not know, in query order, up to the watermark."""

    def _pairs(self, on_damage: Callable[[Mark], None]) -> Iterator[Pair]:
        if self._window.last is None:
            return
        for pair in read_pairs(self._engine, self._window, on_damage=on_damage):
            self._read = pair.query.asked_at, pair.id
            yield pair
        self._read = self._window.last

    def scores(self, query_ids: Sequence[str]) -> Mapping[str, Sequence[PairScore]]:
        """What is stored for these queries: of each metric the score that came last."""
        return stored_scores(self._engine, self._window.candidate, query_ids)

    @repeated
    def save(self, state: bytes, *, purpose: str, segments: Mapping[str, bytes] | None = None) -> bool:
        """Save the state of everything up to what was read of `pairs`. False: something has changed."""
        parts = segments or {}
        table, last, window = tables.Progress, self._read, self._window
        if last is None or not self._token:
            return False
        mine = (*_of(window), col(table.token) == self._token)
        with transaction(self._engine) as connection:
            fates = self._known + count_fates(connection, replace(window, last=last))
        with transaction(self._engine, alone=True) as connection:
            if connection.execute(select(col(table.token)).where(*mine)).first() is None:
                return False
            if last == window.last:
                connection.execute(delete(table).where(*mine))
            row = _row(window, last, token="", purpose=purpose, fates=fates, record=state)
            _leave(connection, {**row, "segments": json.dumps(list(parts)).encode()})
            _leave_segments(connection, window, parts)
        return True


@repeated
def begin_look(
    engine: Engine, window: Window, *, purpose: str, anew: bool, on_damage: Callable[[Mark], None]
) -> StoredLook:
    """Fix how far this look reads, say so to every writer, and resume the state that an earlier one saved.

    Without a `purpose` nothing is saved or resumed; with `anew` nothing is resumed. `on_damage` is called with each row
    that can't be read.
    """
    if not purpose:
        with transaction(engine) as connection:
            narrowed = _narrowed(connection, window)
        return StoredLook(engine, narrowed, saved=None, token="", on_damage=on_damage)
    token = secrets.token_hex(8)
    with transaction(engine, alone=True) as connection:
        narrowed = _narrowed(connection, window)
        # A look that died, or that runs beside this one, saves nothing.
        connection.execute(delete(tables.Progress).where(*_of(window), ~_ended()))
        saved = None if anew else _saved(connection, narrowed, purpose)
        if narrowed.last is not None:
            row = _row(narrowed, narrowed.last, token=token, purpose=purpose, fates=Counter(), record=b"")
            upsert(connection, tables.Progress, [row])
    if saved is not None:
        narrowed = replace(narrowed, after=saved.mark)
    return StoredLook(engine, narrowed, saved=saved, token=token, on_damage=on_damage)


def _narrowed(connection: Connection, window: Window) -> Window:
    """Up to the last query before the watermark. From here on the watermark itself plays no part."""
    envelope = tables.Envelope
    settled = replace(window, before=watermark(connection, window.experiment, window.candidate))
    wanted = select(col(envelope.asked_at), col(envelope.query_id)).where(settled.of(envelope, damaged=True))
    newest = wanted.order_by(col(envelope.asked_at).desc(), col(envelope.query_id).desc()).limit(1)
    row = connection.execute(newest).first()
    return replace(window, last=None if row is None else (row.asked_at, row.query_id))


def _of(window: Window) -> tuple[Any, Any]:
    """Whose progress: the condition on the table's columns."""
    return col(tables.Progress.experiment) == window.experiment, col(tables.Progress.arm) == window.candidate


def _ended() -> Any:
    """The condition that a row is what an ended look left."""
    token = col(tables.Progress.token)
    return (token == "") | token.startswith(_OLDER)


def _saved(connection: Connection, window: Window, purpose: str) -> _Saved | None:
    """The newest state of the same purpose and window."""
    table = tables.Progress
    columns = (table.token, table.asked_at, table.query_id, table.since, table.purpose)
    rows = connection.execute(select(*map(col, columns)).where(*_of(window), _ended())).all()
    marks = {
        (row.asked_at, row.query_id): row.token for row in rows if row.since == window.since and row.purpose == purpose
    }
    held = [mark for mark in marks if window.last is not None and mark <= window.last]
    if not held:
        return None
    this = (*_of(window), col(table.token) == marks[max(held)])
    row = connection.execute(select(col(table.fates), col(table.record), col(table.segments)).where(*this)).one()
    parts, segment = dict[str, bytes](), tables.Segment
    mine = (col(segment.experiment) == window.experiment, col(segment.arm) == window.candidate)
    for names in in_chunks(json.loads(row.segments)):
        wanted = select(col(segment.name), col(segment.record)).where(*mine, col(segment.name).in_(names))
        parts |= {part.name: part.record for part in connection.execute(wanted).all()}
    return _Saved(max(held), Counter(json.loads(row.fates)), row.record, parts)


def _leave_segments(connection: Connection, window: Window, parts: Mapping[str, bytes]) -> None:
    """Leave what is not there yet, and take away what no state rests on any more."""
    segment = tables.Segment
    mine = (col(segment.experiment) == window.experiment, col(segment.arm) == window.candidate)
    there = set(connection.execute(select(col(segment.name)).where(*mine)).scalars().all())
    key = {"experiment": window.experiment, "arm": window.candidate}
    for name in parts.keys() - there:
        insert_new(connection, segment, [{**key, "name": name, "record": parts[name]}])
    drop_unneeded_segments(connection, window.experiment, window.candidate)


def _leave(connection: Connection, new: dict[str, Any]) -> None:
    """Leave a state as the newest; of the older ones stay those that are useful beside it."""
    table, mark = tables.Progress, (new["asked_at"], new["query_id"])
    whose = (col(table.experiment) == new["experiment"], col(table.arm) == new["arm"])
    columns = (table.token, table.asked_at, table.query_id, table.since, table.purpose, table.fates)
    rows = connection.execute(select(*map(col, columns)).where(*whose, _ended())).all()
    older = sorted(
        ((row.asked_at, row.query_id), row.token, Counter[str](json.loads(row.fates)).total())
        for row in rows
        if (row.since, row.purpose) == (new["since"], new["purpose"]) and (row.asked_at, row.query_id) < mark
    )
    reached = Counter[str](json.loads(new["fates"])).total()
    kept: dict[int, str] = {}
    for _, token, count in older:  # the oldest of each distance, so that it grows into the next one
        kept.setdefault(sum(reached - count >= least for least in _DISTANCES), token)
    connection.execute(delete(table).where(*whose, _ended(), col(table.token).not_in(kept.values())))
    if "" in kept.values():
        renamed = update(table).where(*whose, col(table.token) == "")
        connection.execute(renamed.values(token=_OLDER + secrets.token_hex(8)))
    upsert(connection, table, [new])


def _row(window: Window, last: Mark, *, token: str, purpose: str, fates: Counter[str], record: bytes) -> dict[str, Any]:
    return {
        "experiment": window.experiment,
        "arm": window.candidate,
        "token": token,
        "asked_at": last[0],
        "query_id": last[1],
        "since": window.since,
        "purpose": purpose,
        "fates": json.dumps(fates).encode(),
        "segments": b"[]",
        "record": record,
    }
