"""Where a fork can't carry what loading made, each child loads for itself, contained, once for many runs."""

import asyncio
import sys

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Limits
from shadoweval.candidate.guard import GuardPolicy

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of threads")


def runs(candidate, warm, *, limits=None, guard=None):
    async def run():
        settings = {"warm": f"uncarried_candidates:{warm}", "guard": guard, "limits": limits or Limits(seconds=30.0)}
        async with pool_of(candidate, module="uncarried_candidates", **settings) as pool:
            observations = [await pool.run(envelope(f"{n}", number=n), arm="new") for n in range(1, 6)]
            observations.append(await pool.run(envelope("alone", number=6), arm="new", attempt=2))
            return observations, pool.remarks["new"]

    return asyncio.run(asyncio.wait_for(run(), 240))


@pytest.mark.parametrize("guard", [None, GuardPolicy(scratch="")], ids=["unguarded", "guarded"])
@pytest.mark.parametrize(
    ("candidate", "warm", "made"),
    [
        ("whose", "native_threads", "1 native threads"),
        ("uses_executor", "executor", "an executor's threads"),
        ("uses_loop", "loop", "an event loop that runs in a thread"),
    ],
)
def test_children_load_for_themselves(candidate, warm, made, guard):
    """What is waited for is there; one process serves many runs, and has loaded once."""
    observations, remarks = runs(candidate, warm, guard=guard)

    assert [o.failure for o in observations] == [None] * 6
    *same, alone = [o.outcome.answer for o in observations]
    assert len(set(same)) == 1
    assert same[0].endswith(" True")
    assert alone.endswith(" True")
    assert alone != same[0]
    assert [bool(o.cold) for o in observations] == [True, *[False] * 4, True]
    assert (
        f"each process imports and warms up for itself: loading made {made}, which a fork does not take along"
        in remarks
    )
    if guard is not None:
        assert all("seccomp" in o.containment for o in observations)


def test_loading_is_on_top_of_a_child_s_memory():
    """A model that is larger than what a run may take is loaded all the same."""
    limits = Limits(seconds=30.0, memory_bytes=160 << 20)
    observations, _ = runs("whose", "large", limits=limits, guard=GuardPolicy(scratch=""))
    assert [o.failure for o in observations] == [None] * 6
