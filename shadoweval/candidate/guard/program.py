"""Become another program under the guard: what a server of tools runs as, which a candidate may talk to."""

from __future__ import annotations

import os
import sys

import msgspec

from shadoweval.candidate.guard import inherited
from shadoweval.candidate.guard.entry import contain
from shadoweval.candidate.guard.policy import GuardPolicy
from shadoweval.errors import CandidateError

__all__ = ["guarded_command", "policy_of"]

_RUN = (
    "import sys; sys.path[:] = {path!r}; "
    "from shadoweval.candidate.guard.program import main; main({policy!r}, {on_refusal}, {command!r}, parent={parent})"
)


def policy_of(policy: GuardPolicy) -> GuardPolicy:
    """The guard of such a program: it is begun once, and its own interpreter, if it has one, is not looked into."""
    layers = tuple(layer for layer in policy.layers if layer not in {"descriptors", "audit"})
    return msgspec.structs.replace(policy, layers=layers, execs=1)


def guarded_command(command: list[str], policy: GuardPolicy, *, on_refusal: int) -> list[str]:
    """What starts a command under the guard; `on_refusal` is the descriptor of its supervisor's candidate end."""
    path = [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - as the import system does
    packed = msgspec.msgpack.encode(policy)
    return [
        sys.executable,
        "-c",
        _RUN.format(path=path, policy=packed, on_refusal=on_refusal, command=command, parent=os.getpid()),
    ]


def main(packed: bytes, on_refusal: int, command: list[str], *, parent: int) -> None:
    """In the new process, which `parent` began: contain it, and become the command. Ends where `parent` is gone.

    Raises:
        CandidateError: the kernel's layers can't be put in force, so nothing is run.
        OSError: there is no such command.
    """
    policy = msgspec.msgpack.decode(packed, type=GuardPolicy)
    inherited.die_with_parent(parent)
    guard = contain(policy, on_refusal=on_refusal)
    if not guard.supervised:
        raise CandidateError("Nobody can be asked here whether a program may be begun: the layer 'notify' is missing.")
    inherited.cap_memory(policy)
    os.set_inheritable(on_refusal, False)
    os.execvp(command[0], command)  # noqa: S606 - what the experiment names, without a shell
