"""What runs leave in their process: what sleeps costs nothing, what acts costs the process."""

import asyncio
import os
import sys
import time

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits
from shadoweval.candidate.cold_start import ColdStart
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.leftovers import Scratch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what threads do")

MODULE = "leaving_candidates"
ASLEEP = [
    "tqdm_monitor", "sleeping_thread", "waiting_consumer", "timer", "executor", "executor_of_the_run",
    "default_executor", "default_executor_of_a_loop", "anyio_threads", "sleeping_task", "loop_in_a_thread", "exporter",
    "variable_of_loading",
]  # fmt: skip
ROOMY = Limits(seconds=60.0)


def runs(candidate, *questions, pause=0.0, **settings):
    """The observations, one after the other in one pool, and what the pool says of its processes."""

    async def run():
        settings.setdefault("limits", ROOMY)
        async with pool_of(candidate, module=MODULE, **settings) as pool:
            observations = []
            for number, question in enumerate(questions, start=1):
                observations.append(await pool.run(envelope(question, number=number), arm="new"))
                await asyncio.sleep(pause)
            return observations, pool.conduct.get("new", ())

    return asyncio.run(asyncio.wait_for(run(), 280))


def answers(observations):
    assert [o.failure for o in observations] == [None] * len(observations)
    return [o.outcome.answer for o in observations]


@pytest.mark.parametrize("candidate", ASLEEP)
@pytest.mark.parametrize("guard", [None, GuardPolicy(scratch="")], ids=["unguarded", "guarded"])
def test_threads_that_sleep_cost_no_process(candidate, guard):
    """Monitors, exporters, idle workers and loops that wait stay: all queries run in one process."""
    observations, conduct = runs(candidate, *"abcdef", guard=guard)

    assert len(set(answers(observations))) == 1
    assert [bool(o.cold) for o in observations] == [True] + [False] * 5
    assert conduct == ()


@pytest.mark.parametrize(
    ("candidate", "questions", "words"),
    [
        ("busy_thread", "ab", "thread 'miner' worked on after its run; end it before the call returns"),
        ("late_worker", ["go", "wait", "go"], "worked on after"),
        ("late_tool", ["leave", "wait", "then"], "'send_mail' was called after its run"),
        ("process", "ab", "the run left a process; wait for its end"),
        ("many_threads", "abcd", "runs left 90 threads"),
    ],
)
def test_what_acts_after_its_run_costs_the_process(candidate, questions, words):
    """The next run but one is in another process, and the reason is on its observation and in the pool's words."""
    observations, conduct = runs(candidate, *questions)

    assert len(set(answers(observations))) > 1
    assert words in " ".join(conduct)
    assert any(words in o.cold for o in observations)


def test_a_guarded_call_after_the_run_costs_the_process_and_no_other_run():
    """It is refused, charged to no run, and told with the option that would allow it."""
    observations, conduct = runs("late_connection", "leave", "then", "then", pause=0.5, guard=GuardPolicy(scratch=""))

    first, second, third = answers(observations)
    assert first != second == third
    assert all(o.refusals == () for o in observations)
    assert "Sandbox(allow=['127.0.0.1:9'])" in observations[1].cold
    assert any("refused 1 times between runs" in sentence for sentence in conduct)


def test_nothing_of_a_run_is_there_at_the_next():
    """Context variables, the interceptor of tools and the deadline's signal are as they were."""
    observations, _ = runs("switches_off", *"abc")
    assert set(answers(observations)) == {"en True True"}


@pytest.mark.parametrize("guard", [None, GuardPolicy(scratch="")], ids=["unguarded", "guarded"])
def test_scratch_is_empty_at_each_run(guard):
    """Files and folders of the query before are gone, in the same process."""
    observations, conduct = runs("scratch", *"abc", guard=guard)
    assert answers(observations) == ["empty"] * 3
    assert conduct == ()


def test_scratch_keeps_what_is_in_use():
    """What loading put there and holds is there at the next run."""
    observations, _ = runs("scratch_in_use", *"abc", guard=GuardPolicy(scratch=""))
    assert set(answers(observations)) == {"indexweights"}


@pytest.mark.parametrize("candidate", ["lazy", "lazy_async"])
def test_a_load_longer_than_the_deadline_is_paid_once(candidate):
    """The first run has time to load; its answer counts, and it is marked; all run in one process."""
    observations, conduct = runs(candidate, *"abcd", limits=Limits(seconds=1.0))

    assert len(set(answers(observations))) == 1
    assert [bool(o.cold) for o in observations] == [True, False, False, False]
    assert conduct == ()


def test_a_candidate_that_is_always_slow_is_overdue():
    """What takes too long in a process that has loaded takes too long: soon first runs have no more time either."""
    observations, _ = runs("slow", *"abcdefgh", limits=Limits(seconds=1.0, grace=0.1))
    kinds = [o.failure.kind if o.failure else None for o in observations]
    assert kinds.count("timeout") >= 5
    assert set(kinds[-2:]) == {"timeout"}


def test_the_time_of_a_first_run_is_learned():
    """Unknown, it is long, and stays so whatever quick ones there were; what hangs has no more than any run."""
    limits = Limits(seconds=2.0)
    unknown, known, hanging = ColdStart(limits), ColdStart(limits), ColdStart(limits)
    known.first(3.0, overdue=False)
    known.second(3.0, overdue=False)
    for _ in range(3):
        hanging.first(hanging.seconds(), overdue=True)

    assert unknown.seconds() == limits.first_seconds == 20.0
    assert known.seconds() == 20.0
    known.first(0.05, overdue=False)
    assert known.seconds() == 20.0  # that one may have asked for what needs no model
    assert hanging.seconds() == limits.seconds
    known.first(12.0, overdue=True)
    known.first(12.0, overdue=True)
    assert known.seconds() == 6.0  # loading was seen to take three
    assert Limits(seconds=30.0).first_seconds == 300.0
    assert Limits(seconds=30.0, start_seconds=40.0).first_seconds == 40.0


def test_scratch_is_emptied_of_what_comes_after_a_long_quiet_time(tmp_path):
    """A folder that has long been empty is looked at again once it changes, whatever its times are set to."""
    scratch = Scratch(tmp_path)
    assert (scratch.emptied(), scratch.emptied()) == ("", "")
    time.sleep(0.2)
    scratch.emptied()  # from now on an unchanged folder is not listed
    for name in ("first", "second"):
        (tmp_path / name).write_text("of one user's query")
        os.utime(tmp_path, (0, 0))
        assert scratch.emptied() == ""
        assert not list(tmp_path.iterdir())
