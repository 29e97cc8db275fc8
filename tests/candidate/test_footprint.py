"""A candidate lets everything else on its processor go first, and is not blamed for it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from candidate_rig import FOLDER, envelope, pool_of, run_one

from shadoweval import Limits

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the system does not tell")

BUSY = "import os; os.sched_setaffinity(0, {{{core}}})\nwhile os.getppid() == {parent}: pass"
IDLE = """
import sys
sys.path[:0] = [{folder!r}]
from candidate_rig import run_one
from shadoweval.priority import idle
assert idle()
import os
print(*run_one("whereabouts", module="waiting_candidates").outcome.value, os.getsid(0), os.getpid())
"""


def test_time_in_line_for_a_processor_is_not_the_candidates(monkeypatch):
    """Beside three busy processes on the one core that it has, it lasts as long as it works."""
    core = min(os.sched_getaffinity(0))
    monkeypatch.setenv("WAITING_CORE", str(core))
    command = [sys.executable, "-c", BUSY.format(core=core, parent=os.getpid())]
    others = [subprocess.Popen(command, start_new_session=True) for _ in range(3)]
    try:
        observation = run_one("works", module="waiting_candidates", seconds=60.0)
    finally:
        for other in others:
            other.kill()
            other.wait()

    there = float(observation.outcome.answer)
    assert observation.usage.cpu_seconds > 0.2
    assert observation.duration >= there > 1.5 * observation.latency
    assert observation.usage.cpu_seconds * 0.99 < observation.latency < 1.5 * observation.usage.cpu_seconds


@pytest.mark.parametrize("candidate", ["crowds_itself", "waits_for_its_own"])
def test_time_in_line_behind_its_own_work_is_the_candidates(candidate, monkeypatch):
    """Its threads and processes that share a core take as long as they take."""
    monkeypatch.setenv("WAITING_CORE", str(min(os.sched_getaffinity(0))))
    observation = run_one(candidate, module="waiting_candidates", seconds=60.0)
    assert observation.latency > 0.28


def test_runs_that_share_a_process_do_not_pay_for_each_other():
    """Nobody can tell whose the time in line was, so nothing is taken off: a pause is never made shorter."""

    async def run():
        limits = Limits(seconds=60.0, concurrency=4)
        async with pool_of("pauses_or_works", module="waiting_candidates", limits=limits) as pool:
            asked = [pool.run(envelope(text), arm="new") for text in ("work", "work", "pause", "pause")]
            return await asyncio.gather(*asked)

    assert all(one.latency == one.duration > 0.28 for one in asyncio.run(run()))


def test_a_candidate_that_closes_everything_is_timed_all_the_same():
    """Its own files are not there any more, or are others: it is timed by the clock alone."""
    observation = run_one("closes_everything", module="waiting_candidates")
    assert observation.outcome.answer == "closed"
    assert observation.latency > 0.01


def test_candidates_of_a_worker_that_idles_idle_in_its_session():
    """The kernel compares SCHED_IDLE within a session only: in one of their own they were the application's equals."""
    done = subprocess.run(
        [sys.executable, "-c", IDLE.format(folder=str(FOLDER))], cwd=ROOT, capture_output=True, text=True, check=True
    )
    policy, session, group, own, workers, worker = map(int, done.stdout.split())
    assert policy == os.SCHED_IDLE
    assert session == workers
    assert group == own != worker
