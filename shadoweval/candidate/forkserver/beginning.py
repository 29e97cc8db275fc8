"""What a fork server begins with: its environment, and the spec of what it imports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from shadoweval.candidate.forkserver.wire import Ready, Start
from shadoweval.candidate.remote_child import RemoteChild
from shadoweval.errors import CandidateError, TargetError

__all__ = [
    "PendingFork",
    "environment",
    "exit_status",
    "in_loop",
    "loading_in_each_child",
    "start_error",
    "with_own_scratch",
]

_ONE_CORE: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Pools of native threads do not survive a fork, and a candidate is given one core."""
_END_SECONDS: Final = 1.0
"""Seconds in which a fork server may end in good order."""
_OWN: Final = "SHADOWEVAL_CANDIDATE_"
_SECRETS: Final = frozenset({"SHADOWEVAL_STORE", "SHADOWEVAL_WEBHOOK", "SHADOWEVAL_WEBHOOK_SECRET"})
"""Settings that hold a password or an address that is one: a candidate has neither store nor receivers."""


class PendingFork:
    """A fork that was asked for; `channel` is the pool's end of the child's."""

    def __init__(self, channel: socket.socket, on_end: Callable[[RemoteChild], None]) -> None:
        self.channel, self.on_end = channel, on_end
        self.child: asyncio.Future[RemoteChild] = asyncio.get_running_loop().create_future()


def environment() -> dict[str, str]:
    """This process's environment, with one core for native code, and a candidate's own settings."""
    one_core = {**dict.fromkeys(_ONE_CORE, "1"), "TOKENIZERS_PARALLELISM": "false"}
    return _own_settings({**one_core, **os.environ, "SHADOWEVAL_SHADOW": "1"})


def _own_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment with `SHADOWEVAL_CANDIDATE_X` in the place of `X`; an empty one takes X away.

    So candidates get a key with a rate limit and a bill of its own, and none of production's passwords.
    """
    own = {
        name.removeprefix(_OWN): value for name, value in environment.items() if name.startswith(_OWN) and name != _OWN
    }
    left_out = _SECRETS | own.keys()
    shared = {name: value for name, value in environment.items() if name not in left_out and not name.startswith(_OWN)}
    return shared | {name: value for name, value in own.items() if value}


def loading_in_each_child(spec: Start, ready: Ready) -> Start:
    """The spec of a fork server that imports nothing; what loading takes is on top of a child's memory."""
    guard = spec.guard
    if guard is not None and guard.memory_bytes is not None:
        guard = msgspec.structs.replace(guard, memory_bytes=guard.memory_bytes + ready.data)
    return msgspec.structs.replace(spec, each=True, load_bytes=ready.data, guard=guard)


def with_own_scratch(spec: Start) -> Start:
    """The spec with a scratch folder that no other target's processes may write to."""
    scratch = tempfile.mkdtemp(dir=spec.scratch)
    guard = spec.guard and msgspec.structs.replace(spec.guard, scratch=scratch)
    return msgspec.structs.replace(spec, scratch=scratch, guard=guard)


def exit_status(process: subprocess.Popen[bytes] | None) -> str:
    """How a fork server ended, in words."""
    if process is None:
        return "unknown"
    try:
        status = process.wait(timeout=_END_SECONDS)
    except subprocess.TimeoutExpired:
        return "still there"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def start_error(error: BaseException, spec: Start, status: str) -> BaseException:
    """What is wrong with a target whose fork server did not start; itself, where it says so. `status`: how it ended."""
    if isinstance(error, TimeoutError):
        why = f"importing it took longer than {spec.limits.start_seconds:g} s"
        return TargetError(spec.target, why, mend="Raise Limits.start_seconds, or do less at import.")
    if isinstance(error, CandidateError):
        why = f"its process died while importing it ({status})"
        return TargetError(spec.target, why, mend="Import it in a shell to see where.")
    return error


def in_loop(callback: Callable[..., object]) -> Callable[..., None]:
    """A function for any thread that has `callback` called in the running loop, so long as there is that loop."""
    loop = asyncio.get_running_loop()

    def call(*arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(callback, *arguments)

    return call
