"""What one late call costs a look: a call that began before the last look at many pairs and ended after it.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.late_calls [pairs]

CPU seconds of this process in `evaluate`, on SQLite, as benchmarks.looks; the traffic's making is not counted.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import timedelta

from benchmarks.looks import experiment_in, fill, timed
from shadoweval.records import Envelope
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query

NEW = 100
BEHIND = (1, 30, 300, 3_000, 30_000)
"""How many calls were asked after the late one, before the look that it missed."""


def end_late(store: SqlStore, number: int, *, behind: int) -> None:
    query = make_query(number, asked_at=make_query(number - behind).asked_at + timedelta(milliseconds=1))
    served = make_observation(query, hits=["a", "b", "c"], duration=1.0 * behind)
    store.add_envelopes([Envelope(experiment="bench", query=query, served=served)], arms={query.id: ["new"]})
    store.add_observation(make_observation(query, "new", place="shadow", hits=["a", "c"], duration=0.5))


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        experiment = experiment_in(folder)
        clock = FixedClock()
        clock.tick(timedelta(days=90).total_seconds())
        with SqlStore(f"sqlite:///{folder}/bench.db") as store:
            fill(store, 1, pairs)
            count = pairs + 1
            print(f"first look: {pairs:,} pairs {timed(experiment, store, clock):.2f} s CPU")
            for behind in BEHIND:
                fill(store, count, NEW)
                count += NEW
                without = timed(experiment, store, clock)
                fill(store, count, NEW - 1)
                count += NEW - 1
                end_late(store, count, behind=NEW + behind)
                count += 1
                late = timed(experiment, store, clock)
                print(
                    f"{NEW} new pairs {without:.2f} s; with one that came {behind:,} pairs late {late:.2f} s "
                    f"({late / without:.1f} times)"
                )


if __name__ == "__main__":
    main()
