"""A process that has the candidate imported and warm, and forks children from it in milliseconds.

It is under the guard before it imports anything of the user's. It runs no candidate code after the import, opens
nothing, and stays single-threaded where the candidate's libraries let it; where they started threads, idle ones are
harmless to a fork, since a child has only the forking thread. Where a fork can't carry what loading makes
(`loading.ready`), the pool starts a server that imports nothing, and each child loads for itself, contained, once.
"""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import select
import signal
import socket
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.candidate import guard
from shadoweval.candidate.child import Child, ChildSetup, ConcurrentChild
from shadoweval.candidate.footprint import SchedStat
from shadoweval.candidate.forkserver.entering import enter
from shadoweval.candidate.forkserver.loading import load, ready
from shadoweval.candidate.forkserver.offspring import ignore_signal, kill, offspring
from shadoweval.candidate.forkserver.places import lead_caches, lead_temporary
from shadoweval.candidate.forkserver.wire import (
    Broken,
    Died,
    Forked,
    MessageReader,
    Report,
    Request,
    Start,
    decode,
    send,
)
from shadoweval.candidate.guard import Guard
from shadoweval.candidate.guard.inherited import die_with_parent, in_use
from shadoweval.candidate.guard.syscalls import libc
from shadoweval.candidate.run import unbegun
from shadoweval.candidate.tools import exchanges, intercept
from shadoweval.errors import CandidateError, TargetError
from shadoweval.priority import set_apart, step_back

__all__ = ["main"]

_PAGE: Final = resource.getpagesize()
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER
_FORK: Final = b"f"
_FDS: Final = 1


def main(descriptor: int, on_refusal: int, *, parent: int) -> None:
    """Serve the pool's end of `descriptor` until it is closed.

    Args:
        descriptor: of the channel to the pool.
        on_refusal: of the channel to its supervisor; -1: there is no guard.
        parent: the pool's process id. If that is gone already, nobody would answer what the guard's layers ask.
    """
    channel = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        die_with_parent(parent)
        libc().prctl(_SUBREAPER, 1, 0, 0, 0)  # what candidates leave behind comes to us, to be killed
    content = MessageReader(channel).next()
    if content is None:
        return
    start: Start = decode(content, Start)
    # Asked for by the headers of many SDKs, and else found out by a subprocess, which a child may not start.
    vars(platform.uname())["processor"] = platform.machine()
    interception = intercept.Interception()
    limits, scratch = start.limits, Path(start.scratch)
    setup = ChildSetup(arm=start.arm, limits=limits, interception=interception, scratch=scratch)
    server = _ForkServer(channel, start, setup)
    try:
        server.contain(on_refusal)  # before anything of the user's is imported
        if start.place is not None:
            enter(start.place)
        intercept.install(interception)
        if start.exchanges is not None:
            exchanges.begin(*start.exchanges)
        if not start.each:
            server.setup = load(start, server.setup)
    except TargetError as error:
        send(channel, Broken(error.target, error.why, str(error).rpartition(f"{error.why}. ")[2]))
        return
    step_back()  # not before: on a busy machine an import would starve
    send(channel, ready(server.setup))
    server.serve()


class _ForkServer:
    """Forks on request, reaps, and tells the pool who died of what."""

    def __init__(self, channel: socket.socket, start: Start, setup: ChildSetup) -> None:
        self.channel, self.start, self.setup, self.pid = channel, start, setup, os.getpid()
        self.guard: Guard | None = None
        self.children: set[int] = set()
        self.own = set[int]()
        """What the target's import started, such as a server of its own."""
        self.woken, self.wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.descriptors: list[int] | None = None
        """What the child that is being forked was sent; None: no child of ours is."""
        self.fault: Exception | None = None
        """Why a child could not be contained."""

    def contain(self, on_refusal: int) -> None:
        """Put this process under the guard, and have each child narrow itself before any other hook of a fork."""
        os.register_at_fork(after_in_child=self._begin_child)
        policy, target = self.start.guard, self.start.target
        try:
            lead_caches(Path(self.start.scratch))
            if policy is not None:
                self.guard = guard.contain(policy, on_refusal=on_refusal)
        except (OSError, CandidateError) as error:
            why = f"the guard can't be put in force: {error}"
            raise TargetError(target, why, mend="See docs/containment.md for what it needs.") from error

    def serve(self) -> None:
        """Serve until the pool hangs up, then leave nobody behind."""
        self.own = offspring()
        if self.guard is not None:
            self.guard.begin_serving()
        signal.signal(signal.SIGCHLD, ignore_signal)
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
            kill(os.killpg, pid)
            kill(os.kill, pid)  # it may have left its group
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
        pid = self._fork(descriptors)
        if pid == 0:
            self._become_child(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        self.children.add(pid)
        send(self.channel, Forked(pid))
        return True

    def _fork(self, descriptors: list[int]) -> int:
        self.descriptors = descriptors
        try:
            if self.guard is None:
                return os.fork()
            with self.guard.forking():
                return os.fork()
        finally:
            self.descriptors = None

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
                if self.guard is None or not self.guard.kernel:
                    kill(os.killpg, pid)  # the rest of its group: under the kernel's layers there is none
                send(self.channel, Died(pid, status, usage.ru_maxrss * 1024))
        for pid in offspring() - self.children - self.own:
            kill(os.kill, pid)

    def _begin_child(self) -> None:
        """First of all in a child, before hooks that the candidate's libraries have for it: contain it."""
        if self.descriptors is None:  # a fork by someone else, where no layer of the kernel's refuses it
            return
        try:
            self._narrow(self.descriptors)
        except Exception as fault:  # noqa: BLE001 - a hook that raises is passed over; this fails closed, and says why
            self.fault = fault

    def _narrow(self, descriptors: list[int]) -> None:
        """Take from this process what a candidate must not have."""
        with contextlib.suppress(OSError, AttributeError):  # not Linux
            die_with_parent(self.pid)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self.guard is None:
            for own in (self.channel.detach(), self.woken, self.wake):
                os.close(own)
        else:
            self.channel.detach()
            self.guard.close_inherited(descriptors)
        set_apart()
        scratch = self.setup.scratch / str(os.getpid())
        scratch.mkdir(parents=True, exist_ok=True)
        lead_temporary(scratch)
        peak = schedstat = None
        with contextlib.suppress(OSError):  # not on this system
            peak = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            schedstat = SchedStat()
        self.setup = msgspec.structs.replace(self.setup, scratch=scratch, peak=peak, schedstat=schedstat)
        if self.guard is None or self.start.guard is None:
            _cap_memory(self.setup.limits.memory_bytes + self.start.load_bytes)
        else:
            self.guard.narrow(self.start.guard.for_child(os.getpid()), loading=self.start.each)

    def _loaded(self) -> ChildSetup:
        setup = load(self.start, self.setup)
        if self.guard is not None:
            self.guard.loaded()
        return setup

    def _become_child(self, descriptors: list[int]) -> None:
        """Serve as a candidate's process; never returns."""
        try:
            channel = socket.socket(fileno=descriptors[0])
            if self.fault is not None:
                _decline(channel, f"the guard could not be put in force: {self.fault}")
                return
            try:
                setup = self._loaded() if self.start.each else self.setup
            except TargetError as error:
                _decline(channel, str(error))
                return
            concurrent = setup.target.concurrent and setup.limits.concurrency > 1
            (ConcurrentChild if concurrent else Child)(setup, channel).serve()
        finally:
            os._exit(0)


def _decline(channel: socket.socket, why: str) -> None:
    """Run nothing, and say for each request why."""
    refusal = CandidateError(why)
    reader = MessageReader(channel)
    while (content := reader.next()) is not None:
        request: Request = decode(content, Request)
        send(channel, Report(request.id, unbegun(refusal)))


def _cap_memory(spare: int) -> None:
    """Let this process allocate `spare` bytes more than it has now (RLIMIT_DATA, setrlimit(2))."""
    with contextlib.suppress(OSError, ValueError):  # no such limit here: the pool watches resident memory too
        cap = in_use()[1] + spare
        resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))
