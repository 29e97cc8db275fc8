import asyncio
import json
import subprocess
import sys
import threading
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
from candidate_rig import call, envelope

from shadoweval import Limits, Target
from shadoweval.candidate.forkserver.launch import Launch, elsewhere, found
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.pool import CandidatePool
from shadoweval.errors import TargetError
from tests.waiting import gone, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the guard's layers are Linux's")

APP = """
import json, os, sys
from importlib.util import find_spec
from pathlib import Path
import prices
from shadoweval import tool

@tool(effect="write")
def order(item): raise AssertionError("the real one")

def answer(text):
    verb, _, rest = text.partition(" ")
    if verb == "order": return f"{prices.VERSION} ordered {order('tea')}"
    if verb == "write": Path(rest).write_text("harm")
    return json.dumps({
        "prefix": sys.prefix, "first": sys.path[0], "folder": os.getcwd(), "pytest": find_spec("pytest") is not None,
        "installed": bool([e for e in sys.path if os.path.isdir(e + "/shadoweval-0.1.0.dist-info")]),
        "variables": sorted(os.environ), "release": Path("release.txt").read_text()})
"""
SECRETS = ("SHADOWEVAL_STORE", "PYTHONPATH", "OPENAI_API_KEY")


def made(folder, version, shared):
    """A venv, which has that version of the library, and finds another folder by a path file."""
    venv.create(folder, symlinks=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / f"prices-{version}.dist-info").mkdir()
    (packages / "shared.pth").write_text(f"{shared}\nimport os; open({str(folder / 'harm')!r}, 'w')\n")
    (packages / "prices.py").write_text(f"import shared_words\nVERSION = {version!r}\n")
    return folder / "bin/python"


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Runs of one pipeline: in two environments, and from a branch that moves on after the pool has started."""
    root = tmp_path_factory.mktemp("another").resolve()
    app, shared = root / "app", root / "shared"
    for folder in (app, shared):
        folder.mkdir()
    (shared / "shared_words.py").touch()

    def git(*words):
        about = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        command = ["git", *about, *words]
        return subprocess.run(command, cwd=app, check=True, capture_output=True, text=True).stdout.strip()

    def commit(release):
        (app / "answers.py").write_text(APP)
        (app / "prices.py").write_text(f"VERSION = {release!r}\n") if "branch" in release else None
        (app / "release.txt").write_text(release)
        git("add", ".")
        git("commit", "--quiet", "--message", release)
        return git("rev-parse", "--short=12", "HEAD")

    git("init", "--quiet", "--initial-branch=main")
    commit("main")
    git("checkout", "--quiet", "-b", "next")
    pinned = commit("branch 1")
    git("checkout", "--quiet", "main")
    target = "answers:answer"
    targets = {
        "old": Target(target, python=made(root / "old", "1.0", shared), path=app),
        "new": Target(target, python=made(root / "new", "2.0", shared), path=app),
        "branch": Target(target, git="next", repo=app),
    }
    queries = {
        "order": envelope("order", calls=[call("order", {"item": "tea"}, "recorded", effect="write")], number=1),
        "write": envelope(f"write {root / 'harm'}", number=2),
        "look": envelope("look", number=3),
    }

    async def run():
        settings = {"guard": GuardPolicy(scratch=""), "limits": Limits(seconds=60.0), "checkouts": root / "checkouts"}
        async with CandidatePool(targets, **settings) as pool:
            git("checkout", "--quiet", "next")
            commit("branch 2")
            arms = {arm: {name: await pool.run(each, arm=arm) for name, each in queries.items()} for arm in targets}
            arms["branch"]["alone"] = await pool.run(queries["look"], arm="branch", attempt=2)
            return arms, pool.remarks

    with pytest.MonkeyPatch.context() as patch:
        for name in SECRETS:
            patch.setenv(name, "worker's")
        patch.setenv("SHADOWEVAL_CANDIDATE_OPENAI_API_KEY", "")
        patch.syspath_prepend(str(app))
        arms, remarks = asyncio.run(run())
    return arms, remarks, root, pinned


def looked(observation):
    return json.loads(observation.outcome.answer)


def test_two_versions_of_one_library_are_shadowed_at_once(seen):
    """Both are imported under one name, neither of them where the worker could; the stubs hold in each."""
    arms, *_ = seen

    assert arms["old"]["order"].outcome.answer == "1.0 ordered recorded"
    assert arms["new"]["order"].outcome.answer == "2.0 ordered recorded"
    assert [arms[arm]["order"].tool_calls[0].answered for arm in arms] == ["replayed"] * 3


def test_each_observation_says_of_which_environment_it_is(seen):
    """An upgrade alone changes the version of the environment, and not the code's."""
    arms, *_ = seen
    old, new = (arms[arm]["order"].versions for arm in ("old", "new"))

    assert old["environment"].startswith(f"python{sys.version_info[0]}.{sys.version_info[1]}.")
    assert old["environment"] != new["environment"]
    assert old["code"] == new["code"]
    assert "commit" not in old


def test_the_guard_holds_there(seen):
    """A run's write is refused and counted, and so is what a path file of that environment tries at its start."""
    arms, remarks, root, _ = seen

    for arm in arms:
        assert arms[arm]["write"].failure.kind == "refused"
        assert [refusal.kind for refusal in arms[arm]["write"].refusals] == ["open.write"]
        assert len(arms[arm]["look"].containment) >= 2
    assert not list(root.rglob("harm"))
    for arm in ("old", "new"):
        assert any(f"import refused: open.write {root / arm / 'harm'}" in each for each in remarks[arm])


def test_nothing_of_the_worker_leaks_in(seen):
    """Its packages can't be imported, its variables lead nowhere, its secrets are not there."""
    arms, _, root, _ = seen
    there = looked(arms["new"]["look"])

    assert there["prefix"] == str(root / "new")
    assert (there["first"], there["folder"]) == (str(root / "app"), str(root / "app"))
    assert not there["pytest"]
    assert not there["installed"]
    assert not set(SECRETS) & set(there["variables"])


def test_a_branch_is_pinned_when_the_pool_starts(seen):
    """It moved on meanwhile: every process is of the commit that log, status and each observation name."""
    arms, remarks, root, pinned = seen
    first, alone = looked(arms["branch"]["look"]), looked(arms["branch"]["alone"])

    assert arms["branch"]["order"].outcome.answer == "branch 1 ordered recorded"
    assert {first["release"], alone["release"]} == {"branch 1"}
    assert first["folder"] == first["first"] != str(root / "app")
    assert {each.versions["commit"] for each in arms["branch"].values()} == {pinned}
    assert any(f"commit {pinned} (next)" in each for each in remarks["branch"])


def test_the_worker_s_own_environment_serves_a_branch(seen):
    """Nothing is installed for it: what the worker can import, its working tree excepted, it can import too."""
    arms, _, root, _ = seen
    there = looked(arms["branch"]["look"])

    assert there["pytest"]
    assert there["prefix"] == sys.prefix
    assert f"{root}/checkouts" in there["first"]


def test_a_folder_that_the_commit_has_not(seen, tmp_path):
    """It is named, and the checkout is let go."""
    root = seen[2]

    with pytest.raises(TargetError, match="no folder 'src' in 'next'"):
        elsewhere(Target("answers:answer", git="next", repo=root / "app", path="src"), tmp_path)
    again = elsewhere(Target("answers:answer", git="next", repo=root / "app"), tmp_path)
    again.release()
    assert Path(again.folder).is_dir()


def test_who_goes_away_leaves_no_commit_held():
    """A start that is given up while its commit is made lets go of it once it is there."""
    go, released = threading.Event(), threading.Event()
    checkout = SimpleNamespace(release=released.set)

    def find():
        go.wait(120)
        return Launch(lambda *_: [], checkout=checkout)

    async def given_up():
        starting = asyncio.create_task(found(find))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not released.is_set()
        go.set()
        await asyncio.to_thread(released.wait, 120)

    asyncio.run(given_up())
    assert released.is_set()


STARTER = """
import os, socket, subprocess, sys
from shadoweval import Limits, Stubs
from shadoweval.candidate.forkserver.launch import here
from shadoweval.candidate.forkserver.wire import Start, send
from shadoweval.candidate.guard import GuardPolicy, resolved
from shadoweval.candidate.guard.program import guarded_command, policy_of

what, scratch = sys.argv[1:]
(ours, theirs), (supervisor, asking) = socket.socketpair(), socket.socketpair()
guard = resolved(GuardPolicy(scratch=scratch, memory_bytes=2**31))
if what == "fork server":
    spec = Start("json:dumps", "new", Limits(), Stubs().packed({}, {}, None), guard, scratch)
    process = here().begin(theirs.fileno(), asking.fileno())
    send(ours, spec)
else:
    command = guarded_command(["sleep", "600"], policy_of(guard), on_refusal=asking.fileno())
    process = subprocess.Popen(command, pass_fds=[asking.fileno()], stdout=subprocess.DEVNULL)
print(process.pid, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("what", ["fork server", "program"])
def test_nothing_is_left_of_a_start_whose_worker_is_killed(what, tmp_path):
    """Between the filter and its supervisor nobody answers what the filter asks: who is alone by then must not wait."""
    command = [sys.executable, "-c", STARTER, what, str(tmp_path)]
    begun = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    until(lambda: gone(begun.stdout))
