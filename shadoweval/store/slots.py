"""Which slots of schedules were run: one row each, under the key (experiment, schedule, time).

All that hands slots out holds one lock an experiment: SQLite's writing transaction, PostgreSQL's advisory lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlmodel import col

from shadoweval.clock import Clock
from shadoweval.protocols import Claim, Slot
from shadoweval.store import slot_tables
from shadoweval.store.columns import stored_name
from shadoweval.store.engine import present, repeated, transaction
from shadoweval.store.rows import insert_new

__all__ = ["SqlSlots"]

_HISTORY: Final = 500
"""Slots that are kept of each schedule."""
_MOST: Final = timedelta(days=1)
"""No lease is longer, and no next try further off: where one seems so, a clock has jumped."""
_SHOWN: Final = ("schedule", "at", "state", "attempt", "missed", "began_at", "ended_at", "due", "said")


class SqlSlots:
    """A `protocols.Slots` in a database; `SqlStore.slots`. Leases go by the database's clock, slots by the caller's."""

    def __init__(self, engine: Engine, *, clock: Clock | None) -> None:
        self._engine, self._clock = engine, clock

    def _now(self, connection: Connection) -> datetime:
        return present(connection) if self._clock is None else self._clock()

    @repeated
    def claim(self, experiment: str, claim: Claim) -> Slot | None:
        """The slot to run now: one whose run died or failed, else what passed since the last one, by policy."""
        with transaction(self._engine, write=True) as connection:
            _one_at_a_time(connection, experiment)
            last = _last(connection, experiment, claim.schedule)
            if last is None:
                _add(connection, experiment, _new(claim, claim.begin, state="known", now=self._now(connection)))
                last = _last(connection, experiment, claim.schedule)
            assert last is not None
            return self._next(connection, experiment, claim, last=last)

    def _next(self, connection: Connection, experiment: str, claim: Claim, *, last: Any) -> Slot | None:
        now, times = self._now(connection), list(claim.times(last.at))
        if last.state == "running":
            if not claim.gone(last.owner) and now < last.lease_until <= now + _MOST:
                return None
            if last.attempt < claim.tries:
                return _taken(connection, experiment, claim, row=last, now=now)
            _change(connection, experiment, last, state="failed", ended_at=now, said=_DIED, due=now)
        elif last.state == "failed" and last.attempt < claim.tries and (claim.missed == "all" or not times):
            waits = now < last.due <= now + _MOST
            return None if waits else _taken(connection, experiment, claim, row=last, now=now)
        return _begun(connection, experiment, claim, times=times, now=now) if times else None

    @repeated
    def renew(self, experiment: str, slot: Slot, *, owner: str, seconds: float) -> bool:
        """Go on holding it. False: somebody else has it."""
        with transaction(self._engine, write=True) as connection:
            until = self._now(connection) + timedelta(seconds=seconds)
            return _change(connection, experiment, slot, owned=owner, lease_until=until)

    @repeated
    def settle(self, experiment: str, slot: Slot, *, owner: str, failed: bool, said: str, wait: float) -> bool:
        """It was run. One that failed is due again after `wait` seconds. False: somebody else has it."""
        with transaction(self._engine, write=True) as connection:
            now = self._now(connection)
            due = now + min(timedelta(seconds=wait), _MOST)
            state = "failed" if failed else "done"
            return _change(connection, experiment, slot, owned=owner, state=state, ended_at=now, said=said, due=due)

    def history(self, experiment: str, schedule: str, *, limit: int = 1) -> Sequence[Slot]:
        """The newest slots of a schedule, newest first."""
        table = slot_tables.Slot
        wanted = select(table).where(*_of(experiment, schedule)).order_by(col(table.at).desc()).limit(limit)
        with transaction(self._engine) as connection:
            return [_slot(row) for row in connection.execute(wanted).all()]


_DIED: Final = "the scheduler died over it each time"


def _begun(
    connection: Connection, experiment: str, claim: Claim, *, times: Sequence[datetime], now: datetime
) -> Slot | None:
    """The row of the slot that the policy takes among those that passed; it counts the others."""
    late = claim.missed == "skip" and claim.now - times[-1] > _LATE
    at = times[0] if claim.missed == "all" else times[-1]
    row = _new(claim, at, state="skipped" if late else "running", now=now)
    row["missed"] = (len(times) if late else len(times) - 1) if claim.missed != "all" else 0
    _add(connection, experiment, row)
    _forget(connection, experiment, claim.schedule)
    return None if late else _slot(_last(connection, experiment, claim.schedule))


_LATE: Final = timedelta(minutes=1)
"""A slot that is skipped where nobody ran it is still run so late: a scheduler looks when it can."""


def _new(claim: Claim, at: datetime, *, state: str, now: datetime) -> dict[str, Any]:
    return {
        "schedule": claim.schedule,
        "at": at,
        "state": state,
        "attempt": 1 if state == "running" else 0,
        "missed": 0,
        "owner": claim.owner,
        "lease_until": now + timedelta(seconds=claim.seconds),
        "began_at": now,
        "ended_at": None if state == "running" else now,
        "due": now,
        "said": "",
    }


def _add(connection: Connection, experiment: str, row: dict[str, Any]) -> None:
    insert_new(connection, slot_tables.Slot, [{"experiment": experiment, **row}])


def _taken(connection: Connection, experiment: str, claim: Claim, *, row: Any, now: datetime) -> Slot:
    """The same slot once more, by another scheduler or after a while."""
    lease = now + timedelta(seconds=claim.seconds)
    again: dict[str, Any] = {"state": "running", "owner": claim.owner, "lease_until": lease, "ended_at": None}
    _change(connection, experiment, row, attempt=row.attempt + 1, began_at=now, **again)
    return _slot(_last(connection, experiment, claim.schedule))


def _change(connection: Connection, experiment: str, slot: Any, *, owned: str | None = None, **values: Any) -> bool:
    table = slot_tables.Slot
    this = [*_of(experiment, slot.schedule), col(table.at) == slot.at]
    if owned is not None:
        this += [col(table.owner) == owned, col(table.attempt) == slot.attempt, col(table.state) == "running"]
    return connection.execute(update(table).where(*this).values(values)).rowcount == 1


def _of(experiment: str, schedule: str) -> list[Any]:
    return [col(slot_tables.Slot.experiment) == experiment, col(slot_tables.Slot.schedule) == schedule]


def _last(connection: Connection, experiment: str, schedule: str) -> Any:
    table = slot_tables.Slot
    wanted = select(table).where(*_of(experiment, schedule)).order_by(col(table.at).desc()).limit(1)
    return connection.execute(wanted).first()


def _forget(connection: Connection, experiment: str, schedule: str) -> None:
    """Leave the newest ones."""
    at = col(slot_tables.Slot.at)
    mine = _of(experiment, schedule)
    oldest = connection.execute(select(at).where(*mine).order_by(at.desc()).offset(_HISTORY).limit(1)).scalar()
    if oldest is not None:
        connection.execute(delete(slot_tables.Slot).where(*mine, at <= oldest))


def _slot(row: Any) -> Slot:
    return Slot(**{name: getattr(row, name) for name in _SHOWN})


def _one_at_a_time(connection: Connection, experiment: str) -> None:
    if connection.dialect.name == "postgresql":
        name = f"shadow slots {stored_name(experiment)}"
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))
