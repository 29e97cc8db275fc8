"""A fork server that dies before it has forked is started again: the runs that wait for it lose no try."""

import asyncio
import itertools
import os
import signal
from functools import partial

import pytest
from candidate_rig import envelope, pool_of

from shadoweval.candidate.forkserver import client
from shadoweval.candidate.forkserver.client import ForkServerClient
from shadoweval.candidate.forkserver.restarts import Restarts
from shadoweval.errors import CandidateError, TargetError


class Killer:
    """Kills fork servers the moment they are begun, so many of them."""

    def __init__(self, monkeypatch, times=10**6):
        self.times, self.kills = times, 0
        spawn = ForkServerClient._spawn

        def spawned(server, theirs):
            spawn(server, theirs)
            if self.kills < self.times:
                os.kill(server._process.pid, signal.SIGKILL)
                self.kills += 1

        monkeypatch.setattr(ForkServerClient, "_spawn", spawned)

    async def reach(self, kills):
        async with asyncio.timeout(120):
            while self.kills < kills:
                await asyncio.sleep(0.01)


def gone(pool):
    """The pool's fork server has died, and it was noticed."""
    server = pool._runners["new", "plain_candidates:answer"].fork_server
    server._lose_server("killed by the test")
    return server


def test_a_run_outlives_five_fork_servers_that_are_killed_while_they_start(monkeypatch):
    """Each is started again after a while; the run is answered, and the deaths are told."""

    async def run():
        async with pool_of("answer") as pool:
            gone(pool)
            killer = Killer(monkeypatch, times=5)
            observation = await asyncio.wait_for(pool.run(envelope("hi"), arm="new"), 120)
            return observation, killer.kills, pool.conduct["new"]

    observation, kills, conduct = asyncio.run(run())

    assert kills == 5
    assert observation.outcome.answer == "plain hi"
    assert "fork servers died 5 times before they had forked: signal 9" in conduct


def test_a_run_outlives_processes_that_are_gone_before_they_were_asked(monkeypatch):
    """Killed after they were forked and before the run was sent: more of them than a run has tries."""
    fork, kills = ForkServerClient.fork, []

    async def forked(server, on_end):
        child = await fork(server, on_end)
        if len(kills) < 6:
            kills.append(child.pid)
            os.kill(child.pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                while not child._hung_up:
                    await asyncio.sleep(0.005)
        return child

    async def run():
        async with pool_of("answer") as pool:
            gone(pool)
            monkeypatch.setattr(ForkServerClient, "fork", forked)
            return await asyncio.wait_for(pool.run(envelope("hi"), arm="new"), 120)

    assert asyncio.run(run()).outcome.answer == "plain hi"
    assert len(kills) == 6


def test_a_minute_of_deaths_ends_the_run_as_the_shadows(monkeypatch):
    """It says how many there were and of what they died; nothing was run, so it is no failure of the candidate's."""

    async def run():
        async with pool_of("answer") as pool:
            clock = iter(range(0, 10**6, 25))
            gone(pool).restarts._seconds = lambda: next(clock)
            killer = Killer(monkeypatch)
            observation = await asyncio.wait_for(pool.run(envelope("hi"), arm="new"), 120)
            killer.times = 0
            return observation, await asyncio.wait_for(pool.run(envelope("there"), arm="new"), 120)

    ended, after = asyncio.run(run())

    assert (ended.failure.kind, ended.owner) == ("crash", "shadow")
    assert "times in a row" in ended.failure.message
    assert "signal 9" in ended.failure.message
    assert after.outcome.answer == "plain there"


@pytest.mark.parametrize("how", ["cancel", "drain"])
def test_a_kill_and_a_stop_wait_for_no_fork_server(monkeypatch, how):
    """Runs that wait for one are given back, several at a time: `killed` is not counted as a try."""

    async def run():
        async with pool_of("answer", processes=3) as pool:
            gone(pool)
            killer = Killer(monkeypatch)
            runs = [asyncio.create_task(pool.run(envelope("hi", number=n), arm="new")) for n in range(3)]
            await killer.reach(3)
            if how == "cancel":
                await pool.cancel()
            else:
                pool.drain()
            observations = await asyncio.wait_for(asyncio.gather(*runs), 120)
            return observations, killer.kills

    observations, kills = asyncio.run(run())

    assert {o.failure.kind for o in observations} == {"killed"}
    assert kills < 6  # nobody went on starting them


def test_a_first_start_that_is_killed_is_tried_again(monkeypatch):
    """For a minute, and five times; then it is told as the target's, with how it died."""
    clock = itertools.repeat(0.0)
    monkeypatch.setattr(client, "Restarts", partial(Restarts, seconds=lambda: next(clock)))

    async def run(times):
        with monkeypatch.context() as patch:
            killer = Killer(patch, times=times)
            async with pool_of("answer") as pool:
                return (await pool.run(envelope("hi"), arm="new")).outcome.answer, killer.kills

    assert asyncio.run(run(4)) == ("plain hi", 4)
    clock = itertools.count(step=20.0)
    with pytest.raises(TargetError, match="signal 9"):
        asyncio.run(run(10**6))


def test_waits_grow_and_begin_anew_after_a_fork(monkeypatch):
    """A tenth of a second, doubled up to five; drawn between half and all of it, by the second death in a row."""
    pauses = []

    async def wait_for(waiting, seconds):
        waiting.close()
        pauses.append(seconds)
        raise TimeoutError

    async def run():
        restarts = Restarts("new")
        await restarts.wait(restarts.leaving)
        monkeypatch.setattr(asyncio, "wait_for", wait_for)
        for _ in range(9):
            restarts.died("signal 9")
            await restarts.wait(restarts.leaving)
        restarts.forked()
        restarts.died("signal 9")
        await restarts.wait(restarts.leaving)

    asyncio.run(run())

    longest = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 0.1]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


def test_a_row_is_over_once_a_fork_server_has_forked():
    """Deaths far apart are no row, however many; five within a minute or more are."""
    now = [0.0]
    restarts = Restarts("new", seconds=lambda: now[0])

    def died(times):
        for _ in range(times):
            restarts.died("signal 9")
            now[0] += 20

    for _ in range(100):
        died(4)
        restarts.check()
        restarts.forked()

    died(5)
    with pytest.raises(CandidateError, match=r"5 times in a row within 100 s .*signal 9: 405 in all"):
        restarts.check()
