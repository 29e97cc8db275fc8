"""What a look at a stored candidate costs: the first, and the further ones.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.looks [pairs]

CPU seconds of this process in `evaluate`, on SQLite, with 10 gates, 8 metrics and 20 values of three attributes;
the traffic's making is not counted. The state of a million pairs is gathered from arrays (as benchmarks.verdict makes
them) and left in the store as a look over that many stored pairs leaves it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import timedelta

from benchmarks.verdict import GATES, METRICS, made_columns
from shadoweval import Experiment
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.progress import Progress, purpose_of
from shadoweval.protocols import Metric
from shadoweval.records import Envelope, Pair, PairScore, Scored, Usage
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.store.engine import transaction
from shadoweval.store.tasks import insert_envelopes, insert_observation
from shadoweval.testing import FixedClock, make_observation, make_query

NEW = 1_000
BAR = 2.0
"""Seconds for the whole verdict over a million stored pairs."""


class Cheap:
    """Scores that cost next to nothing, so that what is measured is the machinery around them."""

    metrics: tuple[Metric, ...] = tuple(METRICS)
    version = "1"

    def score(self, pair: Pair) -> list[PairScore]:
        first, second = Scored(pair.served.duration), Scored(pair.candidate.duration)
        return [
            PairScore(metric=m.name, query_id=pair.id, incumbent=first, candidate=second, scorer_version="1")
            for m in METRICS
        ]


def fill(store: SqlStore, first: int, count: int) -> None:
    chance = random.Random(first)
    for start in range(first, first + count, 2_000):
        with transaction(store._engine, write=True) as connection:  # noqa: SLF001 - one transaction for many runs
            for number in range(start, min(start + 2_000, first + count)):
                query = make_query(
                    number,
                    attributes={
                        "plan": chance.choice(["free", "pro", "team"]),
                        "language": chance.choice(["en", "de", "fr", "es", "ja"]),
                        "topic": f"t{chance.randrange(12)}",
                    },
                )
                served = make_observation(query, hits=["a", "b", "c"], duration=chance.random())
                envelope = Envelope(experiment="bench", query=query, served=served)
                insert_envelopes(connection, [envelope], {query.id: ["new"]})
                usage = Usage(cost_usd=0.001)
                ran = make_observation(query, "new", hits=["a", "c"], duration=chance.random(), usage=usage)
                insert_observation(connection, ran)


def timed(experiment: Experiment, store: SqlStore, clock: FixedClock) -> float:
    began = time.process_time()
    evaluate(experiment, store=store, clock=clock)
    return time.process_time() - began


def leave_a_million(experiment: Experiment, store: SqlStore, pairs: int) -> tuple[int, int]:
    """As if the store held a million judged pairs; returns the bytes of the state and of its segments."""
    columns, progress = made_columns(pairs), Progress(experiment)
    progress.trial.add(columns)
    state, segments = progress.to_state()
    purpose = purpose_of(experiment)
    assert store.look("bench", "new", purpose=purpose).save(state, purpose=purpose, segments=segments)
    return len(state), sum(map(len, segments.values()))


def experiment_in(folder: str) -> Experiment:
    return Experiment(
        name="bench",
        candidates={"new": "app:new"},
        scorers=[Cheap()],
        gates=GATES,
        settings=Settings(home=folder),
    )


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        experiment = experiment_in(folder)
        clock = FixedClock()
        clock.tick(timedelta(days=90).total_seconds())
        with SqlStore(f"sqlite:///{folder}/bench.db") as store:
            fill(store, 1, pairs // 10)
            tenth = timed(experiment, store, clock)
            fill(store, 1 + pairs // 10, pairs - pairs // 10)
            with transaction(store._engine, write=True) as connection:  # noqa: SLF001 - the next look is a first one
                connection.exec_driver_sql("DELETE FROM shadow_progress")
            whole = timed(experiment, store, clock)
            print(f"first look:  {pairs // 10:>9,} pairs {tenth:6.2f} s, {pairs:>9,} pairs {whole:6.2f} s CPU")
            idle = timed(experiment, store, clock)
            fill(store, 1 + pairs, NEW)
            more = timed(experiment, store, clock)
            print(f"next look:   {pairs:>9,} pairs known {idle:6.2f} s, and {NEW:,} new {more:.2f} s")
            size, segments = leave_a_million(experiment, store, 1_000_000)
            looks = [timed(experiment, store, clock) for _ in range(3)]
            fill(store, 1 + pairs + NEW, NEW)
            more = timed(experiment, store, clock)
    print(f"next looks:  1,000,000 pairs known {', '.join(f'{s:.2f}' for s in looks)} s, and {NEW:,} new {more:.2f} s")
    print(f"state of 1,000,000 pairs: {size / 1e6:.1f} MB, and {segments / 1e6:.1f} MB in segments, written once")
    print(f"bar: at most {BAR:g} s for 1,000,000 pairs: {'ok' if max(*looks, more) <= BAR else 'MISSED'}")


if __name__ == "__main__":
    main()
