"""Under which definitions of an experiment calls are mirrored, and when; noted with the calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, select
from sqlmodel import col

from shadoweval.protocols import Definition
from shadoweval.records import Envelope
from shadoweval.store import tables
from shadoweval.store.rows import upsert

__all__ = ["note_definitions", "read_definitions"]

_ANEW: Final = timedelta(days=1)
"""A definition under which nothing was mirrored for so long begins anew."""
_FORGOTTEN: Final = timedelta(days=7)
_STEP: Final = timedelta(seconds=10)
"""A later call is noted once it is so much later: most batches write nothing."""
_NAMES: Final = Definition.__struct_fields__
_PREFIX: Final = 16
"""Characters of a call's id that are its process's."""


def read_definitions(connection: Connection, experiment: str) -> list[Definition]:
    """All that are remembered, in the order of their first calls."""
    table = tables.Definition
    rows: Any = connection.execute(
        select(*(col(getattr(table, name)) for name in _NAMES)).where(col(table.experiment) == experiment)
    ).all()
    seen = (Definition(**dict(zip(_NAMES, row, strict=True))) for row in rows)
    return sorted(seen, key=lambda each: (each.first_at, each.definition))


def note_definitions(connection: Connection, experiment: str, envelopes: Sequence[Envelope]) -> None:
    """Note under which definitions these calls, of this experiment, were mirrored.

    One that the same process has replaced by another is forgotten: a notebook's cell that was run again is no second
    application.
    """
    before = {each.definition: each for each in read_definitions(connection, experiment)}
    now = dict(before)
    for envelope in sorted(envelopes, key=lambda each: each.query.asked_at):
        if envelope.definition:
            process = envelope.id[:_PREFIX]
            now = {name: each for name, each in now.items() if each.process != process or name == envelope.definition}
            now[envelope.definition] = _seen(now.get(envelope.definition), envelope, process)
    if not now:
        return
    newest = max(each.last_at for each in now.values())
    now = {name: each for name, each in now.items() if each.last_at >= newest - _FORGOTTEN}
    changed = [each for name, each in now.items() if _worth_noting(each, before.get(name))]
    upsert(connection, tables.Definition, [_row(experiment, each) for each in changed])
    for name in sorted(before.keys() - now.keys()):
        this = (col(tables.Definition.experiment) == experiment, col(tables.Definition.definition) == name)
        connection.execute(delete(tables.Definition).where(*this))


def _seen(before: Definition | None, envelope: Envelope, process: str) -> Definition:
    asked_at = envelope.query.asked_at
    anew = before is None or asked_at - before.last_at > _ANEW
    return Definition(
        definition=envelope.definition,
        entry=envelope.query.entry,
        process=process,
        first_at=asked_at if before is None or anew else min(before.first_at, asked_at),
        last_at=asked_at if before is None else max(before.last_at, asked_at),
    )


def _worth_noting(now: Definition, before: Definition | None) -> bool:
    same = before is not None and (before.process, before.entry) == (now.process, now.entry)
    return not same or before is None or now.first_at != before.first_at or now.last_at - before.last_at >= _STEP


def _row(experiment: str, each: Definition) -> dict[str, Any]:
    return {"experiment": experiment, **msgspec.structs.asdict(each)}
