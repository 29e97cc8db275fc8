"""A process that has the candidate imported and warm, and forks children from it in milliseconds.

It runs no candidate code after the import, opens nothing, and stays single-threaded where the candidate's libraries
let it; where they started threads, idle ones are harmless to a fork, since a child has only the forking thread.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import platform
import resource
import select
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from shadoweval.candidate import guard
from shadoweval.candidate.child import Child, ChildSetup, ConcurrentChild
from shadoweval.candidate.footprint import SchedStat
from shadoweval.candidate.forkserver.wire import (
    Broken,
    Died,
    Forked,
    MessageReader,
    Ready,
    Report,
    Request,
    Start,
    decode,
    send,
)
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.guard.inherited import die_with_parent, in_use
from shadoweval.candidate.guard.syscalls import libc
from shadoweval.candidate.run import unbegun
from shadoweval.candidate.target import load_target, warm_up
from shadoweval.candidate.tools import functions, intercept
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.errors import CandidateError, TargetError
from shadoweval.priority import set_apart, step_back

__all__ = ["main"]

_PAGE: Final = resource.getpagesize()
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER
_FORK: Final = b"f"
_FDS: Final = 2


def main(descriptor: int) -> None:
    """Serve the pool's end of `descriptor` until it is closed."""
    channel = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        die_with_parent(os.getppid())
        libc().prctl(_SUBREAPER, 1, 0, 0, 0)  # what candidates leave behind comes to us, to be killed
    content = MessageReader(channel).next()
    if content is None:
        return
    start: Start = decode(content, Start)
    # Asked for by the headers of many SDKs, and else found out by a subprocess, which a child may not start.
    vars(platform.uname())["processor"] = platform.machine()
    interception = intercept.Interception()
    intercept.install(interception)
    try:
        target = load_target(start.target)
        stubs, extract = _unpacked(start)
        functions.redirect(stubs.functions, effects=stubs.effects)
        warm_up(start.warm)
        if start.guard is not None:
            _prepare_guard(start)
    except TargetError as error:
        send(channel, Broken(error.target, error.why, str(error).rpartition(f"{error.why}. ")[2]))
        return
    interception.effects = stubs.effects
    interception.structured = {tool for tool, function in stubs.functions.items() if functions.structured(function)}
    remarks = _calm()
    step_back()
    send(channel, Ready(target.concurrent, _resident(), target.versions, target.parameters(), remarks))
    setup = ChildSetup(
        target=target,
        arm=start.arm,
        limits=start.limits,
        stubs=stubs,
        extract=extract,
        interception=interception,
        scratch=Path(start.scratch),
    )
    _ForkServer(channel, setup, start.guard).serve()


def _unpacked(start: Start) -> tuple[Stubs, Any]:
    try:
        return pickle.loads(start.stubs)  # noqa: S301 - written by the pool that started this process
    except Exception as error:
        why = f"its stubs can't be imported in its process: {type(error).__name__}: {error}"
        raise TargetError(start.target, why, mend="Define them in an importable module.") from error


def _prepare_guard(start: Start) -> None:
    try:
        guard.prepare()
    except Exception as error:
        why = f"the guard can't be prepared: {type(error).__name__}: {error}"
        raise TargetError(start.target, why, mend="See docs/containment.md for what it needs.") from error


def _calm() -> list[str]:
    """Leave as little for a fork to break as possible; says what could not be helped."""
    if "torch" in sys.modules:
        torch: Any = sys.modules["torch"]
        torch.set_num_threads(1)  # a pool of OpenMP threads does not survive a fork
    warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
    gc.collect()
    gc.freeze()  # collections in children touch no page of what was imported (CPython docs, gc.freeze)
    others = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    return [f"threads at fork: {', '.join(others)}"] if others else []


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class _ForkServer:
    """Forks on request, reaps, and tells the pool who died of what."""

    def __init__(self, channel: socket.socket, setup: ChildSetup, guard_policy: GuardPolicy | None) -> None:
        self.channel, self.setup = channel, setup
        self.guard_policy, self.pid = guard_policy, os.getpid()
        self.children: set[int] = set()
        self.own = _offspring()
        """What the target's import started, such as a server of its own."""
        self.woken, self.wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Serve until the pool hangs up, then leave nobody behind."""
        signal.signal(signal.SIGCHLD, _ignore_signal)
        signal.set_wakeup_fd(self.wake, warn_on_full_buffer=False)
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        poller.register(self.woken, select.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self.woken in ready:
                os.read(self.woken, 4096)
                self._reap()
            if self.channel.fileno() in ready and not self._serve_request():
                break
        for pid in self.children:
            _kill(os.killpg, pid)
            _kill(os.kill, pid)  # it may have left its group
        for pid in self.children:
            os.waitpid(pid, 0)
        os._exit(0)

    def _serve_request(self) -> bool:
        try:
            content, descriptors, *_ = socket.recv_fds(self.channel, 1, _FDS)
        except ConnectionError:
            return False
        if content != _FORK:
            return False
        pid = os.fork()
        if pid == 0:
            self._become_child(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children.add(pid)
        send(self.channel, Forked(pid))
        return True

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid in self.children:
                self.children.discard(pid)
                _kill(os.killpg, pid)  # the rest of its group
                send(self.channel, Died(pid, status, usage.ru_maxrss * 1024))
        for pid in _offspring() - self.children - self.own:
            _kill(os.kill, pid)

    def _become_child(self, descriptors: list[int]) -> None:
        """Serve as a candidate's process; never returns."""
        try:
            with contextlib.suppress(OSError, AttributeError):  # not Linux
                die_with_parent(self.pid)
            set_apart()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for own in (self.channel.detach(), self.woken, self.wake):
                os.close(own)
            channel = socket.socket(fileno=descriptors[0])
            try:
                setup = self._contained(descriptors)
            except Exception as fault:  # noqa: BLE001 - fail closed, and say why
                _decline(channel, fault)
                return
            concurrent = setup.target.concurrent and setup.limits.concurrency > 1
            (ConcurrentChild if concurrent else Child)(setup, channel).serve()
        finally:
            os._exit(0)

    def _contained(self, descriptors: list[int]) -> ChildSetup:
        """Take from this process what a candidate must not have."""
        scratch = self.setup.scratch / str(os.getpid())
        scratch.mkdir(parents=True, exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        peak = schedstat = None
        with contextlib.suppress(OSError):  # not on this system
            peak = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            schedstat = SchedStat()
        setup = msgspec.structs.replace(self.setup, scratch=scratch, peak=peak, schedstat=schedstat)
        if self.guard_policy is None:
            _cap_memory(setup.limits.memory_bytes)
            return setup
        own = (peak, None if schedstat is None else schedstat.descriptor)
        keep = (descriptors[0], *(number for number in own if number is not None))
        policy = msgspec.structs.replace(self.guard_policy, keep_fds=keep, scratch=str(scratch))
        guard.contain(policy, on_refusal=descriptors[1])
        return setup


def _decline(channel: socket.socket, fault: Exception) -> None:
    """Run nothing, and say for each request why."""
    refusal = CandidateError(f"the guard could not be put in force: {fault}")
    reader = MessageReader(channel)
    while (content := reader.next()) is not None:
        request: Request = decode(content, Request)
        send(channel, Report(request.id, unbegun(refusal)))


def _cap_memory(spare: int) -> None:
    """Let this process allocate `spare` bytes more than it has now (RLIMIT_DATA, setrlimit(2))."""
    with contextlib.suppress(OSError, ValueError):  # no such limit here: the pool watches resident memory too
        cap = in_use()[1] + spare
        resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))


def _ignore_signal(signum: int, frame: Any) -> None:
    """A handler, since ignored signals wake nobody."""


def _offspring() -> set[int]:
    """This process's children, orphans of candidates among them: they come to their subreaper."""
    try:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return set()
    return {int(pid) for pid in listed.split()}


def _kill(kill: Callable[[int, int], None], pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(pid, signal.SIGKILL)
