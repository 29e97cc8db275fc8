"""Children and fork servers are killed at random moments; every run is reported, and nothing hangs."""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "candidate" / "targets"))

from candidate_rig import envelope, pool_of

from shadoweval import Limits
from tests.waiting import gone, until


async def murdered(victims, *, seed, pause, processes=2):
    """Runs envelopes while something kills what `victims(server)` gives, `kills` times."""
    rng = random.Random(seed)
    kills, began = 0, time.monotonic()

    async def killer(server, runs):
        nonlocal kills
        while not all(run.done() for run in runs):
            await asyncio.sleep(rng.uniform(0.0, pause))
            pids = victims(server)
            if pids:
                try:
                    os.kill(rng.choice(pids), signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass

    async with pool_of("sleeps", module="faulty_candidates", processes=processes, seconds=20) as pool:
        server = pool._runners["new", "faulty_candidates:sleeps"].fork_server
        if victims is fork_server:  # on a busy machine it must live long enough to start, else nothing ever runs
            pause = max(pause, 2 * (time.monotonic() - began))
        runs = [
            asyncio.create_task(pool.run(envelope(f"{rng.uniform(0, 0.03)}", number=n), arm="new")) for n in range(40)
        ]
        killing = asyncio.create_task(killer(server, runs))
        observations = await asyncio.wait_for(asyncio.gather(*runs), 240)
        await killing
        last = await asyncio.wait_for(pool.run(envelope("0"), arm="new"), 120)
    return observations, last, kills


def children(server):
    return list(server.children)


def fork_server(server):
    return [server._process.pid] if server._process else []


def check(observations, last, kills):
    kinds = Counter(o.failure.kind if o.failure else "answered" for o in observations)
    assert kills > 0
    assert sorted(o.query_id for o in observations) == sorted(f"q-{n}" for n in range(40))
    assert set(kinds) <= {"answered", "crash"}
    assert last.outcome.answer == "slept"


@pytest.mark.parametrize("seed", range(3))
def test_killed_children_cost_their_own_runs(seed):
    """SIGKILL at random moments: each run is reported once, as answered or as a crash, and the pool goes on."""
    check(*asyncio.run(murdered(children, seed=seed, pause=0.06)))


@pytest.mark.parametrize("seed", range(2))
def test_killed_fork_servers_are_replaced(seed):
    """The fork server dies with its children at random moments; another takes its place, and runs are made again."""
    check(*asyncio.run(murdered(fork_server, seed=seed, pause=0.5)))


def test_a_run_that_is_killed_at_each_try_is_missing_evidence_and_stops_nobody():
    """By whoever it is, three times and more: it ends as the shadow's, never as the candidate's crash; others go on."""

    async def run():
        kills = 0
        async with pool_of("sleeps", module="faulty_candidates", seconds=30) as pool:
            server = pool._runners["new", "faulty_candidates:sleeps"].fork_server
            doomed = asyncio.create_task(pool.run(envelope("20", number=1), arm="new"))
            while not doomed.done():
                busy = [pid for pid, child in server.children.items() if child.runs]
                for pid in busy:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                while not doomed.done() and any(pid in server.children and server.children[pid].runs for pid in busy):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.01)
            after = await asyncio.wait_for(pool.run(envelope("0", number=2), arm="new"), 60)
            return await doomed, after, kills

    doomed, after, kills = asyncio.run(run())
    assert kills >= 3
    assert (doomed.owner, doomed.failure.kind) == ("shadow", "crash")
    assert "SIGKILL" in doomed.unscored
    assert after.outcome.answer == "slept"


@pytest.mark.marathon
def test_two_hundred_murders():
    """The same, until two hundred children and fork servers have been killed."""
    total, seed = 0, 100
    while total < 200:
        victims, pause = (children, 0.06) if seed % 2 else (fork_server, 0.5)
        observations, last, kills = asyncio.run(murdered(victims, seed=seed, pause=pause))
        check(observations, last, kills)
        total, seed = total + kills, seed + 1


def test_a_candidate_that_kills_its_fork_server_is_reported():
    """It takes the process it was forked from along, is tried again, and told; the next envelope is answered."""

    async def run():
        async with pool_of("kills_fork_server", module="faulty_candidates", seconds=20) as pool:
            broken = await asyncio.wait_for(pool.run(envelope("break"), arm="new"), 60)
            return broken, await asyncio.wait_for(pool.run(envelope("fine"), arm="new"), 120)

    broken, fine = asyncio.run(run())

    assert broken.failure.kind == "crash"
    assert "forked from" in broken.failure.message
    assert fine.outcome.answer == "fine"


def test_the_neighbours_of_a_crash_are_run_again():
    """In a child that runs several envelopes, only the one that brings it down fails."""
    texts = ["a", "crash", "b", "c"]

    async def run():
        limits = Limits(seconds=5, concurrency=4)
        async with pool_of("crash_or_not", module="concurrent_candidates", limits=limits) as pool:
            return await asyncio.gather(*(pool.run(envelope(t, number=n), arm="new") for n, t in enumerate(texts)))

    observations = asyncio.run(run())

    assert [o.outcome.answer if o.outcome else o.failure.kind for o in observations] == ["a", "crash", "b", "c"]


def test_a_run_that_blocks_the_loop_is_the_only_one_that_fails():
    """A blocking call in async code stops its neighbours until the child is killed; they are run again."""
    texts = ["a", "block", "b"]

    async def run():
        limits = Limits(seconds=0.5, start_seconds=10.0, grace=0.2, concurrency=4)
        async with pool_of("block_or_not", module="concurrent_candidates", limits=limits) as pool:
            return await asyncio.gather(*(pool.run(envelope(t, number=n), arm="new") for n, t in enumerate(texts)))

    observations = asyncio.run(run())

    assert observations[1].failure.kind == "timeout"


def test_children_die_with_the_worker(tmp_path):
    """When the worker is killed, fork server and children are gone with it."""
    script = tmp_path / "worker.py"
    script.write_text(
        f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "candidate" / "targets")!r})
from candidate_rig import envelope, pool_of

async def run():
    async with pool_of("sleeps", module="faulty_candidates", seconds=600) as pool:
        task = asyncio.create_task(pool.run(envelope("600"), arm="new"))
        while not (runner := pool._runners.get(("new", "faulty_candidates:sleeps"))) or not runner.fork_server.children:
            await asyncio.sleep(0.01)
        server = runner.fork_server
        print(server._process.pid, *server.children, flush=True)
        await task

asyncio.run(run())
"""
    )
    import subprocess

    worker = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in worker.stdout.readline().split()]
    worker.kill()
    worker.wait()
    worker.stdout.close()

    assert len(pids) >= 2
    until(lambda: all(map(gone, pids)))
