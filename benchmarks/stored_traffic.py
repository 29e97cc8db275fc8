"""Fills a store as weeks of traffic would, in bulk: a million finished pairs in a minute or two.

Rows are what `SqlStore` writes, put in by the database's own bulk insert; what every single call costs is not measured
with it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import insert

from shadoweval.codec import freeze
from shadoweval.records import Envelope, Hit, Observation, Outcome, Query, Usage
from shadoweval.store import SqlStore, tables
from shadoweval.store.blobs import dump
from shadoweval.store.engine import transaction
from shadoweval.store.tasks import insert_envelopes
from shadoweval.testing import NOON

__all__ = ["add_traffic"]

_AT_ONCE = 5_000
_PLANS, _LANGUAGES = ("free", "pro", "team"), ("en", "de", "fr", "es", "ja")
_BOTH = tuple(Hit(id=name, rank=rank) for rank, name in enumerate("abc", start=1))


def add_traffic(
    store: SqlStore,
    count: int,
    *,
    first: int = 1,
    every: float = 1.0,
    users: int = 0,
    experiment: str = "bench",
    rerun: float = 0.0,
) -> None:
    """Add finished pairs of the candidate `new`.

    Args:
        store: Where to.
        count: How many.
        first: Number of the first one; the same numbers make the same pairs.
        every: Seconds between two queries.
        users: Among how many users they are spread, who hold conversations; 0: nobody in particular asks, each question
            once.
        experiment: Whose.
        rerun: Share of the queries on which the incumbent was run again.
    """
    chance = random.Random(first)
    for start in range(first, first + count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, first + count))
        pairs = [_pair(number, chance, every=every, users=users, experiment=experiment) for number in numbers]
        again = [dump_again(envelope, chance) for envelope, _ in pairs if rerun and chance.random() < rerun]
        with transaction(store._engine, write=True) as connection:  # noqa: SLF001 - in bulk, as no worker writes
            insert_envelopes(connection, [envelope for envelope, _ in pairs], {})
            connection.execute(insert(tables.Task), list(_task_rows(pairs)))
            connection.execute(insert(tables.Observation), [_run_row(run) for _, run in pairs] + again)


def _pair(
    number: int, chance: random.Random, *, every: float, users: int, experiment: str
) -> tuple[Envelope, Observation]:
    text, user = f"question number {number}", chance.randrange(users) if users else 0
    attributes = {"plan": chance.choice(_PLANS), "language": chance.choice(_LANGUAGES), "topic": f"t{number % 12}"}
    asked_at = NOON + timedelta(seconds=number * every)
    query = Query(
        id=f"q-{number}",
        text=text,
        inputs=freeze(((text,), {})),
        asked_at=asked_at,
        attributes={**attributes, "thread_id": f"thread-{user}"} if users else attributes,
        unit=f"user-{user}" if users else "",
    )
    arms = [
        Observation(
            query_id=query.id,
            arm=arm,
            place=place,
            started_at=asked_at,
            duration=chance.random(),
            outcome=Outcome(answer="an answer to it", hits=_BOTH),
            usage=Usage(cost_usd=0.001),
        )
        for arm, place in (("incumbent", "served"), ("new", "shadow"))
    ]
    return Envelope(experiment=experiment, query=query, served=arms[0]), arms[1]


def dump_again(envelope: Envelope, chance: random.Random) -> dict[str, Any]:
    """The row of the incumbent's re-run on this query."""
    served = envelope.served
    return _run_row(
        Observation(
            query_id=served.query_id,
            arm="incumbent",
            place="shadow",
            started_at=served.started_at,
            duration=chance.random(),
            outcome=served.outcome,
        )
    )


def _task_rows(pairs: list[tuple[Envelope, Observation]]) -> Iterator[dict[str, Any]]:
    for envelope, run in pairs:
        yield {
            "query_id": envelope.id,
            "arm": run.arm,
            "experiment": envelope.experiment,
            "asked_at": envelope.query.asked_at,
            "draw": 0,
            "state": "done",
            "attempt": 1,
            "owner": "",
            "lease_until": None,
        }


def _run_row(run: Observation) -> dict[str, Any]:
    return {
        "query_id": run.query_id,
        "arm": run.arm,
        "place": run.place,
        "duration": run.duration,
        "failed": "",
        "live_writes": 0,
        "record": dump(run),
    }
