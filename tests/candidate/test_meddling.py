"""What a candidate can do to the pool's own threads: nothing. Each bad call fails alone, and the next run answers."""

import asyncio
import os
import sys

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard's layers are Linux's")


def meddling(*texts):
    from shadoweval.candidate.guard import GuardPolicy

    async def run():
        policy, limits = GuardPolicy(scratch=""), Limits(seconds=8, start_seconds=60)
        async with pool_of("meddles", module="meddling_candidates", guard=policy, limits=limits) as pool:
            return [
                await asyncio.wait_for(pool.run(envelope(text, number=number), arm="new"), 60)
                for number, text in enumerate(texts, 1)
            ]

    return asyncio.run(run())


@pytest.mark.parametrize("act", ["short header", "short lock", "many links"])
def test_what_the_guard_can_not_read_is_refused_and_told(act, tmp_path):
    """A call with memory that ends too soon, or a path nobody can follow, is that run's refusal; the next one runs."""
    place = tmp_path / "file"
    place.touch()
    meddled, after = meddling(f"{act}:{place}", "nothing")

    assert meddled.outcome.answer == os.strerror(1)
    assert ["can't be read" in refusal.detail for refusal in meddled.refusals] == [True]
    assert (after.outcome.answer, after.refusals) == ("done", ())


@pytest.mark.parametrize("flags", ["O_WRONLY", "O_RDONLY", "O_RDWR"])
def test_a_fifo_in_place_of_a_semaphore_keeps_nobody_waiting(flags):
    """The guard opens a semaphore in the candidate's place, but nothing that it would wait for."""
    meddled, after = meddling(f"fifo:{flags}", "nothing")

    assert meddled.failure is None
    assert meddled.outcome.answer != "done"
    assert after.outcome.answer == "done"


def test_a_link_in_place_of_a_semaphore_leads_nowhere(tmp_path):
    """A file outside is neither linked nor written by way of a semaphore that is a link to it."""
    place = tmp_path / "file"
    place.write_text("as it was")
    _, after = meddling(f"link:{place}", "nothing")

    assert (place.read_text(), place.stat().st_nlink) == ("as it was", 1)
    assert after.outcome.answer == "done"


def test_where_the_guard_itself_fails_its_processes_are_ended_and_others_begun():
    """Runs that were held by a supervisor that failed are none of the candidate's failures, and are run again."""
    from shadoweval.candidate.guard import GuardPolicy

    def fails():
        raise RuntimeError("a fault of the guard's")

    async def run(patch):
        policy, limits = GuardPolicy(scratch=""), Limits(seconds=8, start_seconds=60)
        async with pool_of("meddles", module="meddling_candidates", guard=policy, limits=limits) as pool:
            before = await pool.run(envelope("nothing"), arm="new")
            with patch.context() as broken:
                (runner,) = pool._runners.values()
                supervisor = runner.fork_server.supervisor
                broken.setattr(supervisor._selector, "select", fails)
                after = await asyncio.wait_for(pool.run(envelope("short header", number=2), arm="new"), 120)
                number = 2
                while runner.fork_server.supervisor is supervisor:  # it may fail just after that run
                    number += 1
                    await asyncio.wait_for(pool.run(envelope("nothing", number=number), arm="new"), 120)
            return before, after

    with pytest.MonkeyPatch.context() as patch:
        before, after = asyncio.run(run(patch))
    assert before.outcome.answer == "done"
    assert after.failure is None or after.owner == "shadow"


@pytest.mark.parametrize("hook", ["before", "after_in_parent"])
@pytest.mark.parametrize("guarded", [True, False])
def test_a_process_that_can_not_be_forked_is_the_shadow_s_failure(hook, guarded, monkeypatch):
    """A hook that waits for ever holds up neither the pool's beginning nor its runs nor its end."""
    from shadoweval.candidate.guard import GuardPolicy

    monkeypatch.setenv("STUCK_HOOK", hook)
    monkeypatch.setattr("shadoweval.candidate.forkserver.client._FORK_SECONDS", 1.0)

    async def run():
        guard = GuardPolicy(scratch="") if guarded else None
        async with pool_of("answers", module="stuck_forking", guard=guard, limits=Limits(seconds=2)) as pool:
            return await pool.run(envelope(), arm="new")

    observation = asyncio.run(asyncio.wait_for(run(), 120))
    assert observation.owner == "shadow"
    assert "did not fork within 1 s" in observation.failure.message


def test_cancelling_ends_what_waits_for_a_process(monkeypatch):
    """A run that waits for a fork ends as killed when the pool is told to stop, long before the fork is given up."""

    async def run():
        async with pool_of("answers", module="stuck_forking", guard=None, limits=Limits(seconds=2)) as pool:
            running = asyncio.create_task(pool.run(envelope(), arm="new"))
            (runner,) = pool._runners.values()
            while not runner.fork_server._pending:
                await asyncio.sleep(0.01)
            await pool.cancel()
            return await asyncio.wait_for(running, 120)

    monkeypatch.setattr("shadoweval.candidate.forkserver.client._FORK_SECONDS", 600.0)
    assert asyncio.run(asyncio.wait_for(run(), 240)).failure.kind == "killed"
