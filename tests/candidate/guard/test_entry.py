"""Ordinary code under the guard, its memory, its parent's death, and what is said when a layer is missing."""
# Other systems can't import the acts, so the skip comes first.

from __future__ import annotations

import ast
import contextlib
import json
import os
import select
import shutil
import signal
import sys
import tempfile
import threading
import time

import pytest

if sys.platform != "linux":
    pytest.skip("the layers below Python are Linux's", allow_module_level=True)

from shadoweval.candidate.guard import Endpoint, GuardPolicy, Supervisor, contain
from shadoweval.candidate.guard.policy import ALL_LAYERS, DEFAULT_LAYERS
from shadoweval.errors import CandidateError
from tests.candidate.guard import ordinary
from tests.candidate.guard.fork_server import ForkServer, policy_for
from tests.candidate.guard.world import World

REGISTRY = "tests.candidate.guard.ordinary"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("world"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def fork_server():
    made = ForkServer(REGISTRY)
    yield made
    made.close()


class Child:
    """A guarded child, its supervisor, and what it said."""

    def __init__(self, fork_server, world, name, **policy) -> None:
        self.facts = world.fresh()
        self.world = world
        self.facts.scratch = policy.pop("scratch", self.facts.scratch)
        self.policy = policy_for(self.facts, **policy)
        self.supervisor = Supervisor(self.policy, child_policy=lambda _pid: self.policy)
        request = {"name": name, "world": self.facts, "policy": self.policy}
        self.pid, self.result, self.witness = fork_server.fork(request, self.supervisor)
        self.refusals = []
        assert self.next() == "ready"
        self.result.send(b"g")

    def next(self, *, served: bool = True) -> str:
        """What the child says next; empty when it is gone."""
        limit = time.monotonic() + 60
        while time.monotonic() < limit:
            waiting = [self.result, *([self.supervisor] if served else [])]
            ready = select.select(waiting, [], [], 0.02)[0]
            self.world.answer()
            if served:
                self.refusals += self.supervisor.handle_ready()
            if self.result in ready:
                message = self.result.recv(65536).decode()
                if served:
                    self.refusals += self.supervisor.handle_ready()
                return message
        raise TimeoutError

    @property
    def containment(self):
        """What the supervisor believes to hold it."""
        return self.supervisor.containment_of(self.pid)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.result.close()
        os.close(self.witness)
        self.supervisor.close()
        self.world.restore()


@pytest.fixture
def start(fork_server, world):
    """Start guarded children; all are ended with the test."""
    made = []

    def make(name, **policy):
        made.append(Child(fork_server, world, name, **policy))
        return made[-1]

    yield make
    for child in made:
        child.close()


def outcomes_of(text: str) -> dict[str, str]:
    """The outcomes that `try_natively` reported."""
    assert text.startswith("'{"), text
    return json.loads(ast.literal_eval(text))


HARMLESS = [name for name, act in ordinary.ACTS.items() if act.before is None and name not in {
    "describe", "try_natively", "try_in_python", "try_at_the_second_word", "take_memory", "forge_reports",
    "crash_for_want_of_memory", "wait",
} and "endpoint" not in name]  # fmt: skip


@pytest.mark.parametrize("name", HARMLESS)
def test_ordinary_code_works_and_nothing_is_refused(start, name):
    """What changes nothing outside works as without a guard, without any false alarm."""
    child = start(name)
    assert child.next() == "42"
    assert child.refusals == []


@pytest.mark.parametrize("name", [name for name in ordinary.ACTS if "endpoint" in name])
def test_allowed_endpoints_can_be_reached(start, world, name):
    """An endpoint of the allow-list is reached from Python and from native code, by address and by pinned name."""
    port, udp = world.tcp.getsockname()[1], world.udp.getsockname()[1]
    allow = (
        Endpoint("127.0.0.1", port),
        Endpoint("127.0.0.1", udp),
        Endpoint("model.example.org", port, addresses=("127.0.0.1",)),
    )
    child = start(name, allow=allow)
    assert child.next() == "42"
    assert child.refusals == []


def test_allow_list_holds_host_and_port(start, world):
    """One allowed port opens no other one, and no other protocol's."""
    child = start("try_natively", allow=(Endpoint("127.0.0.1", world.tcp.getsockname()[1]),))
    outcomes = outcomes_of(child.next())
    assert outcomes["connect"] == "done"
    assert outcomes["connect elsewhere"] == outcomes["datagram"] == outcomes["open"] == "EPERM"
    details = [refusal.detail for refusal in child.refusals]
    assert "127.0.0.1:9" in details
    assert [refusal.kind for refusal in child.refusals].count("socket.connect") == 1


@pytest.mark.parametrize("name", ["take_memory", "crash_for_want_of_memory"])
def test_memory_cap_hurts_only_the_candidate(start, name):
    """A candidate over its cap gets a MemoryError or dies; the fork server goes on forking."""
    child = start(name, memory_bytes=64 << 20)
    assert child.next() in {"'MemoryError'", ""}
    assert start("run_asyncio").next() == "42"


def test_memory_below_the_cap_can_be_taken(start):
    """The cap counts what comes on top of the fork server's own memory."""
    assert start("take_memory", memory_bytes=768 << 20).next() == "'took it'"


def test_candidate_dies_with_its_parent(world):
    """When the fork server is killed, the kernel kills its candidates."""
    own = ForkServer(REGISTRY)
    child = Child(own, world, "wait")
    child.supervisor.start()
    try:
        assert select.select([child.witness], [], [], 30)[0]
        own.process.kill()
        own.process.wait(10)
        assert child.next() == ""
        child.supervisor.handle_ready()
        assert child.supervisor.finished
    finally:
        child.close()
        own.control.close()


def test_all_layers_are_in_force_and_said(start):
    """The record names every layer that holds, and says nothing of missing ones."""
    text = start("describe", layers=ALL_LAYERS).next()
    assert text.strip("'") == "contained by: descriptors, limits, netns, landlock, seccomp, notify, audit"


def test_supervisor_gets_the_record(start):
    """The parent has the candidate's own account of what holds it."""
    child = start("run_asyncio")
    child.next()
    assert child.containment.layers == DEFAULT_LAYERS
    assert [entry.layer for entry in child.containment.missing] == ["netns"]


@pytest.mark.parametrize(
    ("missing", "sentences"),
    [
        ("landlock", ["landlock missing: landlock_create_ruleset: Function not implemented"]),
        ("netns", ["netns missing: unshare: Operation not permitted"]),
        (
            "notify",
            [
                "notify missing: seccomp: Device or resource busy",
                "what native code tries is refused but not counted",
            ],
        ),
        ("notify_landlock", ["nothing can be written, scratch folder included"]),
        ("seccomp", ["seccomp missing: seccomp: Function not implemented", "contained by: descriptors"]),
        ("table", ["no seccomp on linux riscv64", "audit hooks alone are no sandbox"]),
        ("kernel", ["netns missing: unshare", "native code is not contained; audit hooks alone are no sandbox"]),
    ],
)
def test_missing_layers_are_said(start, missing, sentences):
    """A layer that the kernel really refuses is left out, and the record says which one and why."""
    text = start(f"describe_without_{missing}", layers=ALL_LAYERS).next()
    for sentence in sentences:
        assert sentence in text


def test_layers_switched_off_are_said(start):
    """A layer that the policy leaves out is missing by the policy."""
    text = start("describe", layers=("descriptors", "audit")).next()
    assert text.count("switched off by the policy") == 5
    assert "audit hooks alone are no sandbox" in text


@pytest.fixture
def nobodys_folder():
    """A scratch folder that the user nobody can reach and write."""
    if os.getuid():
        pytest.skip("only root can become somebody else; an ordinary user runs all of this as such anyway")
    folder = tempfile.mkdtemp(prefix="shadoweval-")
    os.chown(folder, 65534, 65534)
    yield folder
    shutil.rmtree(folder)


ALL_REFUSED = {"connect", "connect elsewhere", "datagram", "open", "chmod", "fork", "kill"}


def check_refused(outcomes):
    assert outcomes.pop("open in scratch") == "done"
    assert set(outcomes) == ALL_REFUSED
    assert set(outcomes.values()) <= {"EPERM", "EACCES"}, outcomes


@pytest.mark.parametrize("missing", ["landlock", "notify", "netns"])
def test_native_acts_stay_refused_without_a_layer(start, missing):
    """Where one kernel layer is missing the others refuse the same acts, and scratch can still be written."""
    check_refused(outcomes_of(start(f"try_without_{missing}", layers=ALL_LAYERS).next()))


def test_nobody_has_all_layers(start, nobodys_folder):
    """Nothing of it needs root: an ordinary user gets every layer, the network namespace too, and they hold."""
    text = start("describe_without_nobody", layers=ALL_LAYERS, scratch=nobodys_folder).next()
    assert text.strip("'") == "contained by: descriptors, limits, netns, landlock, seccomp, notify, audit"
    check_refused(outcomes_of(start("try_without_nobody", layers=ALL_LAYERS, scratch=nobodys_folder).next()))


@pytest.mark.parametrize("missing", ["kernel", "table"])
def test_audit_hook_alone_still_holds_python(start, missing):
    """Where there is no kernel layer, as on macOS, what Python announces is refused, named and counted all the same."""
    child = start(f"try_in_python_without_{missing}")
    outcomes = outcomes_of(child.next())
    assert outcomes.pop("open in scratch") == outcomes.pop("sqlite in scratch") == "done"
    assert set(outcomes.values()) == {"RefusedError"}, outcomes
    assert {refusal.layer for refusal in child.refusals} == {"audit"}
    assert len(child.refusals) == len(outcomes)


def test_without_notify_the_allow_list_holds_by_port(start, world):
    """With nobody to ask, Landlock lets the allowed port through and nothing else."""
    child = start("try_without_notify", allow=(Endpoint("127.0.0.1", world.tcp.getsockname()[1]),))
    outcomes = outcomes_of(child.next())
    assert outcomes["connect"] == outcomes["open in scratch"] == "done"
    del outcomes["connect"], outcomes["open in scratch"]
    assert set(outcomes.values()) <= {"EPERM", "EACCES"}, outcomes


def test_without_notify_and_landlock_everything_is_refused(start, world):
    """Fail closed: where nothing tells an allowed act from another, none is let through."""
    child = start("try_without_notify_landlock", allow=(Endpoint("127.0.0.1", world.tcp.getsockname()[1]),))
    outcomes = outcomes_of(child.next())
    assert set(outcomes.values()) == {"EPERM"}


def test_closed_supervisor_fails_closed(start):
    """When the supervisor is gone, guarded calls fail."""
    child = start("try_at_the_second_word")
    while child.containment is None:
        child.supervisor.handle_ready()
    child.supervisor.close()
    child.result.send(b"g")
    outcomes = outcomes_of(child.next(served=False))
    assert "done" not in outcomes.values(), outcomes


def test_forged_reports_are_not_believed(start):
    """A candidate that writes to its supervisor's channel can neither break it nor change its own record."""
    child = start("forge_reports")
    assert child.next() == "42"
    assert child.containment.layers == DEFAULT_LAYERS
    assert [refusal.kind for refusal in child.refusals].count("ipc") == 2


def test_threads_are_refused_at_the_door(tmp_path):
    """In a process with several threads the kernel would leave some outside, so contain() refuses to start."""
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    try:
        with pytest.raises(CandidateError, match="threads"):
            contain(GuardPolicy(scratch=str(tmp_path)), on_refusal=-1)
    finally:
        stop.set()
        other.join()


def test_missing_scratch_folder_is_said(tmp_path):
    """A scratch folder that is not there is an error before anything is closed."""
    with pytest.raises(CandidateError, match="does not exist"):
        contain(GuardPolicy(scratch=str(tmp_path / "none")), on_refusal=-1)
