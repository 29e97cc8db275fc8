"""Memory and disk are bounded wherever they are taken; the sandbox gives what it is asked for."""

import asyncio
import socket
import sys
import threading

import pytest
from candidate_rig import envelope, pool_of

from shadoweval import Experiment, Limits, Sandbox
from shadoweval.candidate.guard import GuardPolicy, advice
from shadoweval.errors import ExperimentError
from shadoweval.records import Refusal
from shadoweval.settings import Settings
from shadoweval.worker.opening import candidate_pool

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the bounds are Linux's")

LIMITS = Limits(seconds=60.0, memory_bytes=256 << 20)


def runs(candidate, *questions, **settings):
    async def run():
        async with pool_of(candidate, module="greedy_candidates", limits=LIMITS, **settings) as pool:
            return [await pool.run(envelope(question), arm="new") for question in questions]

    return asyncio.run(asyncio.wait_for(run(), 240))


@pytest.mark.parametrize("candidate", ["memory_files", "disk"])
@pytest.mark.parametrize("guard", [None, GuardPolicy(scratch="")], ids=["unguarded", "guarded"])
def test_what_is_not_resident_is_bounded_too(candidate, guard):
    """Files of memory and scratch count as memory does: the run is ended as out of memory, its own failure."""
    (observation,) = runs(candidate, "go", guard=guard)

    assert observation.failure.kind == "out_of_memory"
    assert observation.owner == "candidate"
    assert "in files of memory and scratch" in observation.failure.message


def test_many_small_runs_do_not_add_up():
    """What is held across runs is looked at between them."""
    observations = runs("memory_files_by_and_by", *"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
    processes = {o.outcome.answer for o in observations if o.outcome}
    assert len(processes) > 1


@pytest.mark.parametrize("candidate", ["one_file", "one_memory_file"])
def test_one_file_is_bounded(candidate):
    """A file larger than the cap is refused by the kernel (RLIMIT_FSIZE), and the candidate told."""
    (observation,) = runs(candidate, "go", guard=GuardPolicy(scratch=""))
    assert observation.failure.kind in {"error", "out_of_memory"}
    assert observation.owner == "candidate"


def test_descriptors_are_bounded():
    """So are the buffers of sockets and pipes."""
    (observation,) = runs("sockets", "go", guard=GuardPolicy(scratch=""))
    assert observation.outcome.answer == "True"


def test_what_is_mapped_counts_once():
    """Shared memory that is resident is not counted again as a file."""
    observations = runs("modest", "a", "b", guard=GuardPolicy(scratch=""))
    assert [o.outcome.answer for o in observations] == ["modest"] * 2


def sandboxed(candidate, question, folder, **options):
    experiment = Experiment(
        name="bounds",
        candidates={"new": f"greedy_candidates:{candidate}"},
        sandbox=Sandbox(**options),
        settings=Settings(home=str(folder / "home")),
    )

    async def run():
        async with candidate_pool(experiment, arms=["new"]) as pool:
            return await pool.run(envelope(question), arm="new")

    return asyncio.run(asyncio.wait_for(run(), 120))


def greet(server):
    with server.accept()[0] as end:
        end.sendall(b"hello")


def test_a_sandbox_gives_a_unix_socket(tmp_path):
    """A local database's socket is reached where it is named, and only there; the refusal says the line to add."""
    path = str(tmp_path / "db.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        answering = threading.Thread(target=greet, args=(server,))
        answering.start()
        refused = sandboxed("connects_to", path, tmp_path)
        allowed = sandboxed("connects_to", path, tmp_path, unix_sockets=[path])
        answering.join(60)

    assert f"Sandbox(unix_sockets=['{path}'])" in refused.failure.message
    assert allowed.outcome.answer == "hello"


def test_a_sandbox_gives_a_writable_place(tmp_path):
    """A folder that is named may be written to; the refusal says which."""
    (tmp_path / "cache").mkdir()
    path = tmp_path / "cache" / "index"
    refused = sandboxed("writes_to", str(path), tmp_path)
    allowed = sandboxed("writes_to", str(path), tmp_path, writable=[str(path.parent)])

    assert f"Sandbox(writable=['{path.parent}'])" in refused.failure.message
    assert allowed.outcome.answer == "written"
    assert path.read_text() == "written"


def test_a_writable_place_has_to_be_there(tmp_path):
    """The kernel could not tell it from others."""
    with pytest.raises(ExperimentError, match=r"which is not there\. Make it before the worker starts"):
        sandboxed("answers", "hi", tmp_path, writable=[str(tmp_path / "nowhere")])


def test_a_sandbox_chooses_layers(tmp_path):
    """A layer that is left out is named as missing with every run."""
    observation = sandboxed(
        "answers", "hi", tmp_path, layers=["descriptors", "limits", "landlock", "seccomp", "notify"]
    )
    assert "audit missing: switched off by the policy" in observation.containment


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (Refusal(kind="socket.connect", detail="10.0.0.1:80"), "Sandbox(allow=['10.0.0.1:80'])"),
        (Refusal(kind="socket.resolve", detail="api.example.com"), "Sandbox(allow=['api.example.com:443'])"),
        (Refusal(kind="socket.connect", detail="unix:/run/db"), "Sandbox(unix_sockets=['/run/db'])"),
        (Refusal(kind="open.write", detail="/nowhere/at all/x"), "Sandbox(writable=['/nowhere/at all'])"),
        (Refusal(kind="file.change", detail="mkdir /etc"), "Sandbox(writable=['/etc'])"),
        (Refusal(kind="process", detail="os.fork"), "stubs for the tool that does it (docs/stubs.md)"),
    ],
)
def test_a_refusal_knows_the_line_to_add(refusal, line):
    """Which option would allow it."""
    assert advice(refusal) == line
