"""Whatever a candidate does to its process costs one envelope, and the next one runs."""

import asyncio
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "candidate" / "targets"))

from candidate_rig import envelope, pool_of

from shadoweval import Limits
from shadoweval.candidate import remote_child
from shadoweval.candidate.remote_child import RemoteChild
from shadoweval.capture import UNCOPYABLE
from tests.waiting import gone, until

MIB = 1 << 20
# Long enough for a run of microseconds on a machine that has other work, too.
SHORT = Limits(seconds=1.0, grace=0.1, memory_bytes=256 * MIB)
ROOMY = Limits(seconds=20, memory_bytes=128 * MIB)

# candidate, limits, kind of failure (None: it answers), part of the message or answer
FAULTS = [
    ("raises_exit", ROOMY, "error", "3"),
    ("raises_interrupt", ROOMY, "error", ""),
    ("raises_base", ROOMY, "error", "odd"),
    ("raises_unprintable", ROOMY, "error", ""),
    ("never_returns", SHORT, "timeout", "1 s"),
    ("ignores_signals", SHORT, "timeout", "had to be killed"),
    ("swallows_everything", SHORT, "timeout", "1 s"),
    ("stuck_in_c", SHORT, "timeout", "had to be killed"),
    ("stops_itself", SHORT, "timeout", "had to be killed"),
    ("exits", ROOMY, "crash", "status 7"),
    ("exits_as_if_well", ROOMY, "crash", "status 0"),
    ("segfaults", ROOMY, "crash", "SIGSEGV"),
    ("aborts", ROOMY, "crash", "SIGABRT"),
    ("kills_itself", ROOMY, "crash", "SIGKILL"),
    ("allocates", ROOMY, "out_of_memory", ""),
    ("allocates_and_swallows", SHORT, "timeout", ""),
    ("forks", ROOMY, None, "the original's answer"),
    ("forks_and_leaves", ROOMY, None, "left one behind"),
    ("closes_channel", ROOMY, "crash", ""),
    ("writes_garbage", ROOMY, "crash", "no report"),
    ("announces_gigabytes", ROOMY, "crash", "no report"),
    ("says_too_much", ROOMY, "crash", "the cap is 20,971,520"),
    ("says_a_million_lists", ROOMY, "crash", "more than 1,000,000 lists"),
    ("breaks_off", ROOMY, "crash", "truncated"),
    ("says_a_number_for_a_record", ROOMY, "crash", "Expected `array`, got `int`"),
    ("says_a_text_for_a_number", ROOMY, "crash", "Expected `int`, got `str`"),
    ("reports_a_run_of_nobody", ROOMY, "crash", "not in flight"),
    ("prints_much", ROOMY, None, "printed it"),
    ("moves", ROOMY, None, "/"),
    ("starts_thread", ROOMY, None, "started one"),
    ("hangs_async", SHORT, "timeout", "1 s"),
    ("leaves_task", ROOMY, None, "left a task"),
]


@pytest.fixture(scope="module")
def runs():
    """Each fault and then a normal run, one after the other in the same two pools."""

    async def run():
        observations = {}
        for limits in (SHORT, ROOMY):
            async with pool_of("any_of_them", module="faulty_candidates", limits=limits) as pool:
                for name, own_limits, *_ in FAULTS:
                    if own_limits is limits:
                        broken = pool.run(envelope("break", args=(name, "break")), arm="new")
                        fine = pool.run(envelope("fine", args=(name, "fine")), arm="new")
                        observations[name] = [await asyncio.wait_for(one, 120) for one in (broken, fine)]
        return observations

    return asyncio.run(run())


@pytest.mark.parametrize(("candidate", "limits", "kind", "words"), FAULTS, ids=[row[0] for row in FAULTS])
def test_a_fault_costs_one_envelope(runs, candidate, limits, kind, words):
    """The fault is told by its kind, the next envelope is answered, and nothing hangs."""
    broken, fine = runs[candidate]

    assert (broken.failure.kind if broken.failure else None) == kind
    assert words in (broken.failure.message if broken.failure else broken.outcome.answer)
    assert fine.outcome.answer == "fine"


@pytest.mark.parametrize(("name", "tries"), [("decode_child", 3), ("_charge", 1)])
def test_our_own_failure_over_a_message_is_the_shadow_s(monkeypatch, caplog, name, tries):
    """Whatever nobody thought of ends the run long before its deadline, by its name, and the pool goes on.

    A run that is not to blame is tried in two further processes: when they fail as well, the shadow failed.
    """
    place = remote_child if name == "decode_child" else RemoteChild
    sound, failures = getattr(place, name), []

    def failing(*args, **options):
        told = not getattr(args[0], "runs", True)  # a child that has just begun, and no run in it
        if len(failures) == tries or told or not options.get("read", True):
            return sound(*args, **options)
        failures.append(args)
        raise KeyError("nobody thought of it")

    async def run():
        async with pool_of("answer", seconds=200) as pool:
            await pool.run(envelope("before"), arm="new")
            monkeypatch.setattr(place, name, failing)
            return [await asyncio.wait_for(pool.run(envelope("hi"), arm="new"), 60) for _ in range(2)]

    first, second = asyncio.run(run())

    assert len(failures) == tries
    assert caplog.text.count("A candidate's message can't be read") == tries
    assert second.outcome.answer == "plain hi"
    if name == "decode_child":
        assert (first.failure.kind, first.owner) == ("crash", "shadow")
        assert "KeyError: 'nobody thought of it'" in first.failure.cause
    else:
        assert first.outcome.answer == "plain hi"


def test_each_run_gets_its_own_input():
    """A candidate that changes its arguments changes no other run's, nor the envelope's."""
    given = envelope(kwargs={"messages": ["hello"], "options": {"n": 1}})

    async def run():
        async with pool_of("mutates_input", module="faulty_candidates") as pool:
            return [await pool.run(given, arm="new") for _ in range(3)]

    answers = {observation.outcome.answer for observation in asyncio.run(run())}

    assert answers == {"['hello'] {'n': 1}"}


def test_folder_and_environment_do_not_leak():
    """Working folder and environment that one run changed are as before for the next."""

    async def run():
        async with pool_of("whereabouts", module="faulty_candidates") as pool:
            return [(await pool.run(envelope(text), arm="new")).outcome.answer for text in ("look", "move", "look")]

    before, moved, after = asyncio.run(run())

    assert moved == "/ yes"
    assert after == before


def test_a_left_over_process_is_killed():
    """A process that a candidate forked into a session of its own does not outlive the candidate's."""

    async def run():
        async with pool_of("forks_and_leaves", module="faulty_candidates") as pool:
            observation = await pool.run(envelope("break"), arm="new")
            left = int(observation.outcome.answer.rpartition(" ")[2])
            await asyncio.to_thread(until, lambda: gone(left))

    asyncio.run(run())


def test_strange_values_are_left_out():
    """What of a returned value can't be copied costs itself, not the run: its place says what was there."""

    async def run():
        async with pool_of("returns_strange", module="faulty_candidates") as pool:
            return await pool.run(envelope(), arm="new")

    observation = asyncio.run(run())

    assert observation.failure is None
    assert observation.outcome.value == {
        "socket": {UNCOPYABLE: "socket.socket"},
        "lambda": {UNCOPYABLE: "builtins.function"},
    }
