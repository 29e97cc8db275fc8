"""What receivers are owed: a changed decision is written down with the evaluation that found it, and kept until told.

The table is the memory of what each receiver knows, so a change is one against the last thing that *it* was told. All
that changes what is owed holds one lock an experiment: SQLite's writing transaction, PostgreSQL's advisory lock.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, delete, func, select, update
from sqlmodel import col

from shadoweval.clock import Clock
from shadoweval.errors import CorruptFrameError
from shadoweval.protocols import Alert, Condition
from shadoweval.records import Evaluation, Verdict
from shadoweval.store import tables
from shadoweval.store.blobs import dump, load
from shadoweval.store.columns import stored_name
from shadoweval.store.engine import present, repeated, transaction
from shadoweval.store.rows import in_chunks, insert_new

__all__ = ["SqlOutbox", "owe"]

_GIVEN_UP: Final = (10, timedelta(days=3))
"""Tries and age, both of them: a clock that jumps ahead gives nothing up."""
_MOST_WAIT: Final = timedelta(days=1)
"""No longer than this is waited for a next try, or believed of a lease: a clock that jumped would wait for ever."""
_HISTORY: Final = 50
"""Alerts that are kept of each candidate and receiver."""


class _Change(NamedTuple):
    """What a receiver is to know of a candidate, or of another subject, if it does not yet."""

    subject: str
    decision: str
    why: str
    text: str
    record: bytes
    lasts: bool
    """Whether it is told in any case, whatever came after it; only another one of the kind supersedes it."""
    quiet: bool
    """Whether it is told only to who was told something else."""


def owe(connection: Connection, evaluation: Evaluation, receivers: Sequence[str], *, now: datetime) -> None:
    """Owe each receiver each decision that differs from the last one it was told or is owed.

    A newer decision supersedes those of the candidate that are still owed; a rollback is superseded by a rollback only.
    """
    changes = [
        _Change(
            subject=verdict.candidate,
            decision=verdict.decision,
            why=verdict.why,
            text="",
            record=dump(verdict),
            lasts=verdict.rolls_back,
            quiet=False,
        )
        for verdict in evaluation.verdicts
    ]
    _owe_all(connection, evaluation.experiment, changes, receivers=receivers, now=now)


def _owe_all(
    connection: Connection, experiment: str, changes: Sequence[_Change], *, receivers: Sequence[str], now: datetime
) -> None:
    if not receivers:
        return
    _one_at_a_time(connection, experiment)
    for change in changes:
        for receiver in receivers:
            _owe_one(connection, experiment, change, receiver=receiver, now=now)


def _owe_one(connection: Connection, experiment: str, change: _Change, *, receiver: str, now: datetime) -> None:
    table = tables.Alert
    whose = {"experiment": experiment, "candidate": change.subject, "receiver": receiver}
    mine = [col(getattr(table, name)) == value for name, value in whose.items()]
    columns = (table.id, table.state, table.decision, table.why, table.attempts)
    wanted = select(*map(col, columns)).where(*mine).order_by(col(table.id).desc()).limit(_HISTORY)
    rows = connection.execute(wanted).all()
    live = [row for row in rows if row.state != "superseded"]
    meant = change.decision, change.why
    if (live and (live[0].decision, live[0].why) == meant) or (change.quiet and not live):
        return
    old = [row for row in live if row.state == "owed" and (change.lasts or row.decision != "rollback")]
    gone = {row.id for row in old}
    connection.execute(update(table).where(col(table.id).in_(gone)).values(state="superseded", record=b""))
    known = next((row for row in live if row.id not in gone), None)
    before = change.quiet if known is None else (known.decision, known.why) == meant
    if before and not any(row.attempts for row in old):
        return  # back to what it knows, before anything else was tried on it
    row = {
        **whose,
        "key": secrets.token_hex(16),
        "decision": change.decision,
        "why": change.why,
        "previous": "" if known is None else known.decision,
        "at": now,
        "due": now,
        "state": "owed",
        "attempts": 0,
        "lease_until": None,
        "error": "",
        "text": change.text,
        "record": change.record,
    }
    insert_new(connection, table, [row])
    if len(rows) == _HISTORY:
        connection.execute(delete(table).where(*mine, col(table.id) < rows[-1].id, col(table.state) != "owed"))


class SqlOutbox:
    """A `protocols.Outbox` in a database; `SqlStore.outbox`."""

    def __init__(self, engine: Engine, *, clock: Clock | None) -> None:
        self._engine, self._clock = engine, clock

    def _now(self) -> datetime:
        if self._clock is not None:
            return self._clock()
        with transaction(self._engine) as connection:
            return present(connection)

    @repeated
    def owe(self, experiment: str, conditions: Sequence[Condition], receivers: Sequence[str]) -> None:
        """Owe each receiver what differs from what it knows; that all is well, only if it knows worse."""
        changes = [
            _Change(
                subject=one.subject, decision=one.state, why="", text=one.text, record=b"", lasts=False, quiet=one.well
            )
            for one in conditions
        ]
        with transaction(self._engine, write=True) as connection:
            now = present(connection) if self._clock is None else self._clock()
            _owe_all(connection, experiment, changes, receivers=receivers, now=now)

    def claim(self, experiment: str, receiver: str, *, seconds: float) -> Alert | None:
        """The oldest alert that is due, of a candidate of which nothing is being sent to this receiver."""
        table = tables.Alert
        mine = (col(table.experiment) == experiment, col(table.receiver) == receiver)
        owed = select(table).where(*mine, (col(table.state) == "owed") | col(table.lease_until).is_not(None))
        wanted = owed.order_by(col(table.id))
        with transaction(self._engine) as connection:  # most often nothing is owed, which costs no writer's turn
            if connection.execute(owed.limit(1)).first() is None:
                return None
        with transaction(self._engine, write=True) as connection:
            _one_at_a_time(connection, experiment)
            now = present(connection) if self._clock is None else self._clock()
            before: set[str] = set()
            for row in connection.execute(wanted).all():
                sent = row.lease_until is not None and now < row.lease_until <= now + _MOST_WAIT
                if sent or row.candidate in before:
                    before.add(row.candidate)
                elif row.state == "owed":
                    before.add(row.candidate)
                    if not now < row.due <= now + _MOST_WAIT:
                        changes = {"attempts": row.attempts + 1, "lease_until": now + timedelta(seconds=seconds)}
                        connection.execute(update(table).where(col(table.id) == row.id).values(changes))
                        return _alert(row, attempts=row.attempts + 1)
        return None

    def taken(self, alert: Alert) -> None:
        """The receiver has it, even if it was superseded meanwhile."""
        self._settle(alert, state="taken", error="", record=b"")

    def refused(self, alert: Alert, error: str, *, wait: float) -> None:
        """It is due again after `wait` seconds, a day at most; after ten tries and three days it is given up."""
        now = self._now()
        tries, age = _GIVEN_UP
        given_up = alert.attempts >= tries and now - alert.at >= age
        due = now + min(timedelta(seconds=wait), _MOST_WAIT)
        self._settle(alert, still_owed=True, error=error, due=due, **({"state": "undelivered"} if given_up else {}))

    def _settle(self, alert: Alert, *, still_owed: bool = False, **values: Any) -> None:
        """Write a try's end; a try whose lease ran out, and that was followed by another one, says it too."""
        table = tables.Alert
        this = col(table.key) == alert.key
        with transaction(self._engine, write=True) as connection:
            last = (this, col(table.attempts) == alert.attempts)
            connection.execute(update(table).where(*last).values(lease_until=None))
            connection.execute(
                update(table).where(*(last if still_owed else (this,)), _owed(still_owed)).values(values)
            )

    def untold(self, experiment: str) -> Sequence[Alert]:
        """What is owed; and what was given up, unless its receiver took a later alert."""
        table = tables.Alert
        mine = (col(table.experiment) == experiment, col(table.state).in_(("owed", "undelivered")))
        with transaction(self._engine) as connection:
            taken = select(col(table.receiver), func.max(col(table.id)).label("last")).where(
                col(table.experiment) == experiment, col(table.state) == "taken"
            )
            last = {row.receiver: row.last for row in connection.execute(taken.group_by(col(table.receiver))).all()}
            rows = connection.execute(select(table).where(*mine).order_by(col(table.id))).all()
        return [_alert(row) for row in rows if row.state == "owed" or row.id > last.get(row.receiver, 0)]

    def again(self, experiment: str) -> int:
        """All of `untold` is owed, and due now, whoever may be sending it; its age begins anew."""
        now = self._now()
        return self._change(experiment, {"state": "owed", "due": now, "at": now, "lease_until": None})

    def forget(self, experiment: str) -> int:
        """Nothing of `untold` is owed any more."""
        return self._change(experiment, {"state": "forgotten", "record": b""})

    def _change(self, experiment: str, values: dict[str, Any]) -> int:
        table, keys = tables.Alert, [alert.key for alert in self.untold(experiment)]
        with transaction(self._engine, write=True) as connection:
            _one_at_a_time(connection, experiment)
            for chunk in in_chunks(keys):
                changed = update(table).where(col(table.key).in_(chunk), col(table.state).in_(("owed", "undelivered")))
                connection.execute(changed.values(values))
        return len(keys)


def _owed(asked: bool) -> Any:
    state = col(tables.Alert.state)
    return state == "owed" if asked else state != "forgotten"


def _one_at_a_time(connection: Connection, experiment: str) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(
            select(func.pg_advisory_xact_lock(func.hashtext(f"shadow alerts {stored_name(experiment)}")))
        )


def _alert(row: Any, *, attempts: int | None = None) -> Alert:
    try:
        verdict = load(row.record, Verdict) if row.record else None
    except CorruptFrameError:  # the decision alone is told
        verdict = None
    names = ("key", "receiver", "candidate", "decision", "previous", "at", "state", "due", "error", "text")
    tried = row.attempts if attempts is None else attempts
    return Alert(**{name: getattr(row, name) for name in names}, attempts=tried, verdict=verdict)
