"""One look at a candidate's pairs: the state that an earlier look saved, and only the pairs that came since."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, delete, select
from sqlmodel import col

from shadoweval.records import Coverage, Pair
from shadoweval.store import tables
from shadoweval.store.changes import Mark
from shadoweval.store.engine import transaction
from shadoweval.store.funnel import count_fates, count_live_writes, coverage_of
from shadoweval.store.reading import Window, read_pairs, watermark

__all__ = ["StoredLook", "begin_look"]


@dataclass(frozen=True, slots=True)
class _Saved:
    mark: Mark
    fates: Counter[str]
    record: bytes


class StoredLook:
    """A `protocols.Look` at a database. Make it with `begin_look`."""

    def __init__(
        self, engine: Engine, window: Window, *, saved: _Saved | None, token: str, on_damage: Callable[[Mark], None]
    ) -> None:
        self._engine, self._window, self._token = engine, window, token
        self.saved = None if saved is None else saved.record
        """The state that an earlier look saved; None: there is none that still holds."""
        self.pairs: Iterator[Pair] = (
            iter(()) if window.last is None else read_pairs(engine, window, on_damage=on_damage)
        )
        """The pairs that `saved` does not know, in query order, up to the watermark."""
        self._fates: Counter[str] = Counter() if saved is None else saved.fates.copy()
        whole = replace(window, after=None, last=None)
        with transaction(engine) as connection:
            if window.last is not None:
                self._fates += count_fates(connection, window)
            beyond = count_fates(connection, replace(whole, after=window.last), waiting=True)
            self.coverage: Coverage = coverage_of(connection, whole, self._fates + beyond)
            """The funnel of the whole window; `distinct` is left at 0."""
            self.live_writes: int = count_live_writes(connection, whole)
            """Of all runs in the window, those that are no pair among them."""

    def save(self, state: bytes, *, purpose: str) -> bool:
        """Save the state of everything up to the end of `pairs` for the next look. False: something has changed."""
        window, table, last = self._window, tables.Progress, self._window.last
        if last is None or not self._token:
            return False
        under_way = delete(table).where(*_of(window), col(table.token) == self._token)
        row = _row(window, last, token="", purpose=purpose, fates=json.dumps(self._fates).encode(), record=state)
        with transaction(self._engine, write=True) as connection:
            if connection.execute(under_way).rowcount != 1:
                return False
            tables.upsert(connection, table, [row])
        return True


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
    with transaction(engine, write=True) as connection:
        narrowed = _narrowed(connection, window)
        # A look that died, or that runs beside this one, saves nothing.
        connection.execute(delete(tables.Progress).where(*_of(window), col(tables.Progress.token) != ""))
        saved = None if anew else _saved(connection, narrowed, purpose)
        if narrowed.last is not None:
            row = _row(narrowed, narrowed.last, token=token, purpose=purpose, fates=b"", record=b"")
            tables.upsert(connection, tables.Progress, [row])
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


def _saved(connection: Connection, window: Window, purpose: str) -> _Saved | None:
    table = tables.Progress
    columns = (table.asked_at, table.query_id, table.since, table.purpose, table.fates, table.record)
    row = connection.execute(select(*map(col, columns)).where(*_of(window), col(table.token) == "")).first()
    if row is None or window.last is None or row.since != window.since or row.purpose != purpose:
        return None
    mark = (row.asked_at, row.query_id)
    return _Saved(mark, Counter(json.loads(row.fates)), row.record) if mark <= window.last else None


def _row(window: Window, last: Mark, *, token: str, purpose: str, fates: bytes, record: bytes) -> dict[str, object]:
    return {
        "experiment": window.experiment,
        "arm": window.candidate,
        "token": token,
        "asked_at": last[0],
        "query_id": last[1],
        "since": window.since,
        "purpose": purpose,
        "fates": fates,
        "record": record,
    }
