"""Processes die and disks fill up while the store writes."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shadoweval.errors import StoreError
from shadoweval.records import INCUMBENT, Envelope, Observation, Outcome, Query
from shadoweval.store import SqlStore

WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from shadoweval.records import INCUMBENT, Envelope, Observation, Outcome, Query
from shadoweval.store import SqlStore

START = datetime(2026, 1, 1, tzinfo=UTC)
first, store = int(sys.argv[2]), SqlStore(sys.argv[1])
for number in range(first, first + 1_000_000, 5):
    batch = []
    for n in range(number, number + 5):
        query = Query(id=f"q{n:08}", text="x" * 500, asked_at=START + timedelta(seconds=n))
        served = Observation(query_id=query.id, arm=INCUMBENT, place="served", outcome=Outcome(answer="y" * 500),
                             started_at=query.asked_at, duration=0.1)
        batch.append(Envelope(experiment="support", query=query, served=served))
    store.add_envelopes(batch, arms={e.id: ("rerank",) for e in batch})
    for e in batch:
        store.add_observation(Observation(query_id=e.id, arm="rerank", place="shadow", outcome=Outcome(answer="z"),
                                          started_at=e.query.asked_at, duration=0.1))
        print(e.id, flush=True)
"""


def killed_writer(url: str, first: int, seconds: float) -> list[str]:
    """Ids that a writing process reported as stored before it was killed with SIGKILL."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, url, str(first)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    reported = [process.stdout.readline().strip()]  # it writes: now let it, for a while
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    reported += process.stdout.read().split()
    process.stdout.close()
    process.wait()
    return [line for line in reported if len(line) == 9]


def die_and_look(path: Path, times: int) -> None:
    url, reported, chance = f"sqlite:///{path}", [], random.Random(7)
    for turn in range(times):
        reported += killed_writer(url, turn * 1_000_000, chance.random() * 0.25)
        with SqlStore(url) as store:
            pairs = [pair.id for pair in store.pairs("support", "rerank", watermark=False)]
            funnel = store.funnel("support", "rerank")
        assert set(reported) <= set(pairs), "a committed pair was lost"
        assert len(pairs) == len(set(pairs)), "a pair came twice"
        assert funnel.mirrored % 5 == 0, "half a batch was kept"
        assert funnel.gap == 0
        assert store.damaged == {}
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    assert len(reported) > times


def test_a_killed_writer_loses_and_doubles_nothing(tmp_path) -> None:
    """kill -9 at random moments: the database opens, every reported pair is there once, batches are whole."""  # noqa: D403 - the command's name
    die_and_look(tmp_path / "shadow.db", times=3)


@pytest.mark.marathon
@pytest.mark.timeout(1800)
def test_two_hundred_killed_writers_lose_and_double_nothing(tmp_path) -> None:
    """The same file survives 200 killed writers."""
    die_and_look(tmp_path / "shadow.db", times=200)


def envelope(number: int, size: int) -> Envelope:
    query = Query(id=f"q{number:04}", text="x" * size, asked_at=datetime(2026, 1, 1, tzinfo=UTC))
    served = Observation(
        query_id=query.id,
        arm=INCUMBENT,
        place="served",
        outcome=Outcome(answer="y"),
        started_at=query.asked_at,
        duration=0.1,
    )
    return Envelope(experiment="support", query=query, served=served)


@pytest.fixture
def small_disk():
    """Files of this process can't grow beyond 1.5 MB until `lift` is called."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_is_an_error_with_a_way_out_and_no_damage(tmp_path, small_disk) -> None:
    """When no byte more fits, writing raises StoreError; what was there stays, and with space it goes on."""
    url = f"sqlite:///{tmp_path / 'shadow.db'}"
    stored = 0
    with SqlStore(url) as store:
        with pytest.raises(StoreError, match="Free space"):  # noqa: PT012 - it fails at some turn, not at one known
            for number in range(100):
                stored += store.add_envelopes([envelope(number, 20_000)], arms={})
        assert stored > 0
        assert store.funnel("support", "rerank").mirrored == stored
        small_disk()
        assert store.add_envelopes([envelope(n, 20_000) for n in range(100)], arms={}) == 100 - stored
    with SqlStore(url) as store:
        assert store.funnel("support", "rerank").mirrored == 100
