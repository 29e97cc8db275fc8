"""What a candidate can do to others by a lock, by a descriptor's owner, or by its priority: nothing."""

import asyncio
import fcntl
import os
import sqlite3
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("locks and priorities as Linux has them", allow_module_level=True)


from bystander_candidates import ACTS
from candidate_rig import envelope, pool_of

from shadoweval import Limits
from shadoweval.candidate.guard import GuardPolicy

LOCKS = ["flock", "shared flock", "read lock", "open file lock", "lease"]
OWNERS = ["F_SETOWN", "F_SETOWN_EX", "F_SETSIG", "FIOSETOWN", "SIOCSPGRP"]
PRIORITIES = ["nice -5", "SCHED_FIFO"]
ALLOWED = ["SQLite", "its own", "nice 19", "SCHED_BATCH"]


def writes(path):
    """Production's writer takes its lock without waiting, while the candidate's process lives."""
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Every act in one pool, with a file and a database outside."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "queue.lock").write_text("")
    database = sqlite3.connect(folder / "shop.db")
    database.execute("create table orders (id)")
    database.execute("insert into orders values (1)")
    database.commit()
    database.close()

    async def run():
        limits = Limits(seconds=60.0)
        async with pool_of(
            "tries", module="bystander_candidates", guard=GuardPolicy(scratch=""), limits=limits
        ) as pool:
            seen = {}
            for act in ACTS:
                subject = os.getpid() if act in OWNERS else folder / ("shop.db" if act == "SQLite" else "queue.lock")
                seen[act] = await pool.run(envelope(act, args=(act, str(subject))), arm="new")
                writes(folder / "queue.lock")
            return seen

    return asyncio.run(asyncio.wait_for(run(), 240))


@pytest.mark.parametrize("act", [*LOCKS, *OWNERS, *PRIORITIES])
def test_what_others_would_feel_is_refused_and_counted(runs, act):
    """The candidate gets the error of a missing permission, and the run's record has the act."""
    assert runs[act].outcome.answer == "refused"
    (refusal,) = runs[act].refusals
    assert refusal.kind == ("file.lock" if act in {*LOCKS, "F_SETOWN", "F_SETOWN_EX", "F_SETSIG"} else refusal.kind)


@pytest.mark.parametrize("act", ALLOWED)
def test_what_nobody_feels_is_allowed(runs, act):
    """Locks in scratch, reading a database, and letting others go first."""
    assert runs[act].outcome.answer == "done"
    assert runs[act].refusals == ()
