"""What it costs to run a candidate in a process that can be killed. Run: python -m benchmarks.candidate.

All figures of a row come from one interleaved run on one core; ratios are what can be compared between machines.

- ready: a new child of a warm fork server until its first answer, against a fresh interpreter that imports the same.
  With pauses the child is the spare one, forked ahead; back to back each run waits for its fork and the last one's end.
- request: one no-op envelope through the pool, against the same call in a ThreadPoolExecutor from asyncio, and direct;
  CPU of the pool's process and of its children, and with `--against TREE` all of it against an earlier commit.
- kill: a run is killed at its deadline, and the next one answers from a new process.
- throughput: no-op envelopes per second, pool and children on one core together.
- stub: a replayed tool call, against a dict lookup of the same canonical key, in a record of 10,000 calls.
- world: memory of an overlay over a large base, and time of a copy of an SQLite database.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from benchmarks.candidate_request import compared
from shadoweval import Limits, Replay, SqliteWorld, Stubs
from shadoweval.candidate.pool import CandidatePool
from shadoweval.candidate.tools.entity_world import OverlayMapping
from shadoweval.candidate.tools.replay import call_key
from shadoweval.candidate.tools.session import Session
from shadoweval.codec import freeze
from shadoweval.records import Envelope, Observation, Outcome, Query, ToolCall

GOALS = {
    "ready / fresh process": 0.006,
    "kill + replacement, ms": 10.0,
    "envelopes per second": 1000.0,
    "stub / dict lookup": 2.0,
}
CANDIDATE = """
import asyncio, json, logging, ssl, http.client, sqlite3, urllib.request, dataclasses, typing, re, email, hashlib, uuid
{heavy}
import time
def work(question): return question
def slow(question):
    if question == "slow":
        while True: time.sleep(0.001)
    return question
"""
PAUSE = 0.03
HEAVY = "import langchain_core.runnables, langchain_core.documents, langchain_core.messages, pydantic, httpx"


def envelope(text: str = "q", calls: tuple[ToolCall, ...] = ()) -> Envelope:
    now = dt.datetime.now(dt.UTC)
    query = Query(id="q", text=text, inputs=freeze(((text,), {})), asked_at=now)
    outcome = Outcome(answer="a", tool_calls=calls)
    served = Observation(query_id="q", arm="incumbent", place="served", outcome=outcome, started_at=now, duration=0.1)
    return Envelope(experiment="bench", query=query, served=served)


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def middle(values: list[float]) -> str:
    return f"p50 {median(values):10.3f}   p95 {sorted(values)[int(len(values) * 0.95)]:10.3f}"


async def timed(act: Callable[[], Awaitable[object]], into: list[float]) -> None:
    began = time.perf_counter()
    await act()
    into.append((time.perf_counter() - began) * 1000)


async def ready(folder: str, rounds: int) -> float:
    """Milliseconds until the first answer."""
    code = f"import sys; sys.path.insert(0, {folder!r}); import bench_heavy; print(bench_heavy.work('q'))"

    async def fresh() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await process.wait()

    forked: list[float] = []
    started: list[float] = []
    pressed: list[float] = []
    async with CandidatePool({"c": "bench_heavy:work"}) as pool:

        async def fork() -> None:
            assert (await pool.run(envelope(), arm="c", attempt=2)).outcome is not None

        await fork()
        await fresh()
        for _ in range(rounds):
            for _ in range(10):
                await timed(fork, pressed)
            for _ in range(10):
                await asyncio.sleep(PAUSE)
                await timed(fork, forked)
            await timed(fresh, started)
    ratio = median(forked) / median(started)
    print(f"ready: warm server, spare child     {middle(forked)} ms")
    print(f"ready: warm server, back to back    {middle(pressed)} ms")
    print(f"ready: fresh process                {middle(started)} ms")
    print(f"ready / fresh process               {ratio:.4f}")
    return ratio


async def guarded(rounds: int) -> None:
    """The same under the guard, where it is available."""
    from shadoweval.candidate.guard import GuardPolicy

    forked: list[float] = []
    async with CandidatePool({"c": "bench_heavy:work"}, guard=GuardPolicy(scratch="")) as pool:
        for _ in range(rounds * 10):
            await asyncio.sleep(PAUSE)
            await timed(lambda: pool.run(envelope(), arm="c", attempt=2), forked)
    print(f"ready: spare child, under the guard {middle(forked)} ms")


async def request(rounds: int) -> float:
    """Microseconds of one no-op, and envelopes per second."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(1)
    mirrored = envelope()
    rows: dict[str, list[float]] = {"pool": [], "ThreadPoolExecutor": [], "direct": []}
    async with CandidatePool({"c": "bench_light:work"}) as pool:
        acts: dict[str, Callable[[], Awaitable[object]]] = {
            "pool": lambda: pool.run(mirrored, arm="c"),
            "ThreadPoolExecutor": lambda: loop.run_in_executor(executor, str, "q"),
            "direct": direct,
        }
        for act in acts.values():
            await act()
        for _ in range(rounds):
            for name in random.sample(list(acts), len(acts)):
                for _ in range(200):
                    await timed(acts[name], rows[name])
        began, count = time.perf_counter(), 2000
        for _ in range(count):
            await pool.run(mirrored, arm="c")
        per_second = count / (time.perf_counter() - began)
    executor.shutdown()
    for name, values in rows.items():
        print(f"request: {name:27s}{middle([value * 1000 for value in values])} us")
    threads = median(rows["ThreadPoolExecutor"])
    print(f"request: pool / ThreadPoolExecutor  {median(rows['pool']) / threads:.2f}")
    print(f"envelopes per second                {per_second:,.0f}")
    return per_second


async def direct() -> str:
    return "q"


async def kill(rounds: int) -> float:
    """Milliseconds from the deadline to the next answer."""
    over: list[float] = []
    seconds = 0.05
    async with CandidatePool({"c": "bench_heavy:slow"}, limits=Limits(seconds=seconds)) as pool:
        await pool.run(envelope("fast"), arm="c")
        for _ in range(rounds * 3):
            began = time.perf_counter()
            killed = await pool.run(envelope("slow"), arm="c")
            assert killed.failure is not None
            assert (await pool.run(envelope("fast"), arm="c")).failure is None
            over.append((time.perf_counter() - began - seconds) * 1000)
    print(f"kill + replacement                  {middle(over)} ms")
    return median(over)


def stub(rounds: int) -> float:
    """A replayed call against a lookup of the same key."""
    calls = tuple(
        ToolCall(name="look", arguments={"order": f"K-{n}", "fields": "all"}, result=f"order {n}", effect="read")
        for n in range(10_000)
    )
    # A write before all of them: each read is then compared with what was written.
    calls = (ToolCall(name="pay", arguments={"order": "K-x1"}, result="paid", effect="write"), *calls)
    mirrored = envelope(calls=calls)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Stubs(default=[Replay(repeat_reads=True)]), mirrored, scratch=Path(folder))
        session.answer("look", calls[1].arguments, effect="read", live=None)
        known = {("look", call_key(call.arguments)): call for call in calls[1:]}
        asked = [calls[n].arguments for n in random.sample(range(1, 10_001), 2_000)]
        replayed: list[float] = []
        looked: list[float] = []
        for _ in range(rounds):
            began = time.perf_counter()
            for arguments in asked:
                session.answer("look", arguments, effect="read", live=None)
            replayed.append((time.perf_counter() - began) / len(asked) * 1e6)
            began = time.perf_counter()
            for arguments in asked:
                known["look", call_key(arguments)]
            looked.append((time.perf_counter() - began) / len(asked) * 1e6)
    ratio = median(replayed) / median(looked)
    print(f"stub: replayed call                 {middle(replayed)} us")
    print(f"stub: dict lookup of its key        {middle(looked)} us")
    print(f"stub / dict lookup                  {ratio:.2f}")
    return ratio


def world() -> None:
    """Bytes of an overlay, milliseconds of a copy."""
    base = dict.fromkeys(range(1_000_000), "an entity")
    for written in (0, 100, 10_000):
        tracemalloc.start()
        overlay = OverlayMapping(base)
        for key in range(written):
            overlay[key] = "changed"
        print(f"world: overlay, {written:6,d} of a million written {tracemalloc.get_traced_memory()[0]:10,d} bytes")
        tracemalloc.stop()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rows in (1_000, 100_000):
            path = folder / f"{rows}.sqlite"
            with closing(sqlite3.connect(path)) as db:
                db.execute("CREATE TABLE t (n INTEGER, text TEXT)")
                db.executemany("INSERT INTO t VALUES (?, ?)", ((n, "x" * 100) for n in range(rows)))
                db.commit()
            os.environ["BENCH_DATABASE"] = str(path)
            source = SqliteWorld(env="BENCH_DATABASE", tools=())
            took: list[float] = []
            for _ in range(9):
                began = time.perf_counter()
                source.opened(None, envelope=envelope(), scratch=folder).close()  # pyright: ignore[reportArgumentType]
                took.append((time.perf_counter() - began) * 1000)
            print(f"world: copy of {path.stat().st_size / 1e6:5.1f} MB of SQLite     {middle(took)} ms")


async def measured(rounds: int, folder: str) -> dict[str, float]:
    figures = {"ready / fresh process": await ready(folder, rounds)}
    try:
        await guarded(rounds)
    except ImportError:
        print("ready: no guard here")
    figures["envelopes per second"] = await request(rounds)
    figures["kill + replacement, ms"] = await kill(rounds)
    figures["stub / dict lookup"] = stub(rounds)
    world()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="root of another checkout, for the cost of a request")
    parser.add_argument("--core", type=int, help="pin to this core (Linux)")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a goal is missed")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_heavy.py").write_text(CANDIDATE.format(heavy=HEAVY), encoding="utf-8")
        Path(folder, "bench_light.py").write_text(CANDIDATE.format(heavy=""), encoding="utf-8")
        sys.path.insert(0, folder)
        figures = asyncio.run(measured(options.rounds, folder))
    figures |= compared(3 * options.rounds, options.against)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    missed = [
        name
        for name, goal in GOALS.items()
        if (figures[name] < goal if name == "envelopes per second" else figures[name] > goal)
    ]
    for name, goal in GOALS.items():
        print(f"{'missed' if name in missed else 'met   '} {name}: {figures[name]:.4g} (goal {goal:g})")
    return 1 if missed and options.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
