"""A warm, single-threaded process that forks one child per request; the child is guarded and acts.

Run as `python -m tests.candidate.guard.fork_server FD MODULE [FD POLICY]`. A request is a pickled dict, with
descriptors: of the child's result socket, the witness pipe and (if it guards itself) its end of the supervisor's
channel. With FD and POLICY this process contains itself first, before it imports the module, as a candidate's fork
server does, under a policy wide enough for what acts prepare; its children narrow themselves to the request's policy.
Without, a child goes both steps itself, which shows what it does where layers are missing.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pickle
import signal
import socket
import subprocess
import sys
from typing import Any

import msgspec

from shadoweval.candidate.guard import Guard, GuardPolicy, Supervisor, contain
from shadoweval.candidate.guard.inherited import free_lowest_number, occupy_low_numbers


def child(request: dict[str, Any], probe: Any, guard: Guard | None, *, descriptors: list[int]) -> None:
    """Prepare, say so, wait for the word, get under the guard, act, report what came of it."""
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    result, world = socket.socket(fileno=descriptors[0]), request["world"]
    os.set_inheritable(descriptors[0], False)
    world.witness, world.result, world.channel = descriptors[1], result, descriptors[-1]
    os.set_inheritable(world.witness, True)
    try:
        if probe.before is not None:
            occupy_low_numbers()
            probe.before(world)
        result.send(b"ready")
        result.recv(1)
        policy = request["policy"]
        if policy is not None:
            if guard is None:
                guard = contain(policy, on_refusal=descriptors[2])
            else:
                world.channel = guard.channel
            guard.close_inherited(descriptors[:2])
            world.containment = guard.narrow(policy)
        outcome = repr(probe.act(world))
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
    with contextlib.suppress(OSError):
        result.send(outcome[:60000].encode(errors="replace") or b"-")
    os._exit(0)


def serve(control: socket.socket, acts: dict[str, Any], guard: Guard | None) -> None:
    """Fork for each request until the other side is gone."""
    witness = -1
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: os.write(witness, b"!"))
    occupy_low_numbers()
    for _ in range(4):  # for what comes with a request, and the last one's witness
        free_lowest_number()
    control.send(b"warm")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not message:
            return
        if witness >= 0:
            os.close(witness)
        witness = descriptors[1]
        with guard.forking() if guard else contextlib.nullcontext():
            pid = os.fork()
        if pid == 0:
            control.close()
            request = pickle.loads(message)
            child(request, acts[request["name"]], guard, descriptors=descriptors)
        for descriptor in (descriptors[0], *descriptors[2:]):
            os.close(descriptor)
        control.send(str(pid).encode())


class ForkServer:
    """The test's side of it."""

    def __init__(
        self, registry: str, *, policy: GuardPolicy | None = None, supervisor: Supervisor | None = None
    ) -> None:
        self.supervisor = supervisor
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = os.environ | {
            "OPENBLAS_NUM_THREADS": "1",
            "GRPC_ENABLE_FORK_SUPPORT": "0",
            "GRPC_VERBOSITY": "NONE",
        }
        passed = [theirs.fileno(), *([supervisor.candidate_fd] if supervisor else [])]
        arguments = [str(theirs.fileno()), registry]
        if supervisor:
            arguments += [str(supervisor.candidate_fd), msgspec.json.encode(policy).decode()]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.candidate.guard.fork_server", *arguments],
            pass_fds=passed, env=environment, cwd=pathlib.Path(__file__).resolve().parents[3],
        )  # fmt: skip
        theirs.close()
        if supervisor:
            supervisor.release()
            supervisor.start()
        assert self.control.recv(64) == b"warm"
        if supervisor:
            supervisor.serve()

    def fork(self, request: dict[str, Any], supervisor: Supervisor | None) -> tuple[int, socket.socket, int]:
        """Pid of the child, its result socket, the reading end of the witness pipe."""
        ours, result = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reading, witness = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        descriptors = [result.fileno(), witness] + ([supervisor.candidate_fd] if supervisor else [])
        if self.supervisor:
            self.supervisor.expect_forks(1)
        socket.send_fds(self.control, [pickle.dumps(request)], descriptors)
        pid = int(self.control.recv(64))
        if self.supervisor:
            self.supervisor.expect_forks(-1)
        result.close()
        os.close(witness)
        if supervisor:
            supervisor.release()
        return pid, ours, reading

    def close(self) -> None:
        """End it."""
        self.control.close()
        self.process.wait(10)


def policy_for(world: Any, **changes: Any) -> GuardPolicy:
    """Nothing but the scratch folder."""
    return GuardPolicy(scratch=world.scratch, **changes)


if __name__ == "__main__":
    import importlib

    own = None
    if len(sys.argv) > 3:
        own = contain(msgspec.json.decode(sys.argv[4], type=GuardPolicy), on_refusal=int(sys.argv[3]))
    module = importlib.import_module(sys.argv[2])
    serve(socket.socket(fileno=int(sys.argv[1])), module.load(), own)
