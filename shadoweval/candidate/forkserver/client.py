"""The pool's end of a fork server: starts it, asks it for children, hears who died, starts another when it is gone."""

from __future__ import annotations

import asyncio
import collections
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import msgspec

from shadoweval.candidate.forkserver import beginning
from shadoweval.candidate.forkserver.launch import Launch, found
from shadoweval.candidate.forkserver.refused import broken_by_refusals, remarks
from shadoweval.candidate.forkserver.restarts import LostError, Restarts
from shadoweval.candidate.forkserver.wire import (
    READ_BYTES,
    Broken,
    Died,
    Forked,
    Messages,
    Ready,
    Start,
    decode,
    framed,
)
from shadoweval.candidate.guard import Supervisor
from shadoweval.candidate.remote_child import RemoteChild
from shadoweval.errors import CandidateError, TargetError

__all__ = ["ForkServerClient"]

_FORK: Final = b"f"
_FORK_SECONDS: Final = 20.0
"""Seconds in which a fork server forks, or `Limits.start_seconds` if that is less."""


class ForkServerClient:
    """Has children of one target: `spec` says what the fork server imports, and how its children run.

    `launch` is asked once, in a thread, where fork servers run, so that all are of one commit.
    """

    def __init__(self, spec: Start, launch: Callable[[], Launch]) -> None:
        self.spec, self.limits = beginning.with_own_scratch(spec), spec.limits
        self._find_launch, self._launch = launch, cast("Launch | None", None)
        self.supervisor: Supervisor | None = None
        """Who watches the fork server and its children; None: there is no guard."""
        self.ready: Ready | None = None
        self.children: dict[int, RemoteChild] = {}
        """Children by pid, until they are known to be dead."""
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._buffer = Messages()
        self._starting = asyncio.Lock()
        self.restarts = Restarts(spec.arm)
        self._pending: collections.deque[beginning.PendingFork] = collections.deque()
        """Forks that were asked for, in the order in which the fork server answers."""

    async def start(self) -> Ready:
        """Import the target.

        Raises:
            TargetError: it can't be imported or run.
            CandidateError: it could be before, but its process died on the way, time and again (`Restarts.check`).
        """
        leaving = self.restarts.leaving
        async with self._starting:
            while self._channel is None or self.ready is None:
                await self.restarts.wait(leaving)
                try:
                    await self._start()
                except LostError:
                    if self.ready is not None:
                        self.restarts.check()
            return self.ready

    async def _start(self) -> None:
        if self._launch is None:
            self._launch = await found(self._find_launch)
            self.spec = msgspec.structs.replace(self.spec, place=self._launch.place)
        ready = await self._started()
        if ready.uncarried and not self.spec.each:
            self._lose_server()
            self.spec = beginning.loading_in_each_child(self.spec, ready)
            await self._started()
            ready.remarks.append(f"each process imports and warms up for itself: loading made {ready.uncarried}")
        ready.remarks[:0] = self._launch.remarks
        if self.ready is None or not self.spec.each or ready.uncarried:
            self.ready = ready

    async def _started(self) -> Ready:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._spawn(theirs)
        try:
            return await asyncio.wait_for(self._greet(ours), self.limits.start_seconds)
        except BaseException as error:  # noqa: BLE001 - each ends as an error that says what to do, or as itself
            ours.close()
            raise self._start_error(error) from None

    def _start_error(self, error: BaseException) -> BaseException:
        """What is wrong with a fork server that did not start; it is ended."""
        status = self._stop_server()
        if isinstance(error, CandidateError):
            self.restarts.died(status)
            if self.ready is not None or self.restarts.passing(status):  # it could be imported before, or was killed
                return LostError()
        error = beginning.start_error(error, self.spec, status)
        if isinstance(error, TargetError) and self.supervisor is not None:
            return broken_by_refusals(error, tuple(self.supervisor.at_import))
        return error

    def _spawn(self, theirs: socket.socket) -> None:
        supervisor = self.supervisor = self._new_supervisor()
        with theirs:
            assert self._launch is not None
            on_refusal = None if supervisor is None else supervisor.candidate_fd
            self._process = self._launch.begin(theirs.fileno(), on_refusal)
        if supervisor is not None:
            supervisor.release()
            supervisor.start()

    def _new_supervisor(self) -> Supervisor | None:
        """The supervisor of the next fork server: the last one's children are gone."""
        if self.spec.guard is None:
            return None
        supervisor = Supervisor(
            self.spec.guard,
            phase="importing",
            on_event=beginning.in_loop(self._noticed),
            on_failure=beginning.in_loop(lambda: self._unanswered(supervisor)),
        )
        if self.supervisor is not None:  # the server before imported the same, where children do so from now on
            supervisor.at_import.update(self.supervisor.at_import)
        return supervisor

    def _unanswered(self, supervisor: Supervisor) -> None:
        """The guard's questions are answered no more: what it held is ended, and the next fork begins anew."""
        if supervisor is self.supervisor and self._channel is not None:
            self._lose_server()

    def _noticed(self, pid: int) -> None:
        child = self.children.get(pid)
        if child is not None:
            child.noticed()

    async def _greet(self, channel: socket.socket) -> Ready:
        loop = asyncio.get_running_loop()
        self._buffer = Messages()
        try:
            await loop.sock_sendall(channel, framed(self.spec))
            frames: list[bytes] = []
            while not frames:
                part = await loop.sock_recv(channel, READ_BYTES)
                if not part:
                    raise CandidateError("It hung up.")
                frames = self._buffer.feed(part)
        except OSError as error:
            raise CandidateError(f"It hung up: {error}.") from error
        answer: Ready | Broken = decode(frames[0], Ready | Broken)
        if isinstance(answer, Broken):
            raise TargetError(answer.target, answer.why, mend=answer.mend)
        if self.supervisor is not None:
            self.supervisor.serve()
        self._channel = channel
        loop.add_reader(channel, self._readable)
        return answer

    def _readable(self) -> None:
        assert self._channel is not None
        try:
            content = self._channel.recv(READ_BYTES)
            for frame in self._buffer.feed(content):
                self._take(decode(frame, Forked | Died))
        except BlockingIOError:
            return
        except (OSError, CandidateError):
            content = b""
        if not content:
            self._lose_server()

    def _take(self, message: Forked | Died) -> None:
        if isinstance(message, Died):
            child = self.children.pop(message.pid, None)
            if child is not None:
                child.died(message)
            return
        assert self.ready is not None
        self.restarts.forked()
        if self.supervisor is not None:
            self.supervisor.expect_forks(-1)
        fork = self._pending.popleft()
        child = self.children[message.pid] = RemoteChild(
            message.pid,
            fork.channel,
            limits=self.limits,
            memory=self.ready.memory + self.limits.memory_bytes,
            supervisor=self.supervisor,
            scratch=Path(self.spec.scratch) / str(message.pid),
            on_end=fork.on_end,
        )
        if fork.child.done():  # whoever asked went away
            child.kill("killed", "nobody waits for it")
        else:
            fork.child.set_result(child)

    async def fork(self, on_end: Callable[[RemoteChild], None]) -> RemoteChild:
        """A new child.

        Raises:
            TargetError: the target can no longer be imported.
            CandidateError: fork servers died before they had forked (`Restarts.check`); or one did not fork in time.
        """
        while True:
            await self.start()
            try:
                return await self._forked(on_end)
            except LostError:
                self.restarts.check()

    async def _forked(self, on_end: Callable[[RemoteChild], None]) -> RemoteChild:
        if self._channel is None:
            raise LostError
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        fork = beginning.PendingFork(ours, on_end)
        self._pending.append(fork)
        if self.supervisor is not None:
            self.supervisor.expect_forks(1)
        with theirs:
            try:
                socket.send_fds(self._channel, [_FORK], [theirs.fileno()])
            except OSError:
                self._lose_server()
        seconds = min(_FORK_SECONDS, self.limits.start_seconds)
        try:
            return await asyncio.wait_for(fork.child, seconds)
        except TimeoutError:
            why = (
                f"The candidate's fork server did not fork within {seconds:g} s, and was ended. Look for a lock that "
                "os.register_at_fork(...) of the target or a library waits for, and a thread that holds it."
            )
            if fork in self._pending:  # else it was lost meanwhile
                self._lose_server(why)
            raise CandidateError(why) from None

    def abandon_forks(self) -> None:
        """Fail what waits for a child; a child that comes all the same is ended."""
        self.restarts.leave()
        for fork in self._pending:
            if not fork.child.done():
                fork.child.set_exception(CandidateError("Nobody waits for the process any more."))

    @property
    def refused(self) -> tuple[str, ...]:
        """What was refused in the fork server and is no run's doing, in words, with the line that would allow it."""
        return remarks(self.supervisor)

    def _lose_server(self, why: str = "") -> None:
        """It is gone, and its children with it; the next fork starts another. `why`: it was ended for this."""
        if self._channel is not None:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._channel = None
        status = self._stop_server()
        pending_forks, self._pending = self._pending, collections.deque()
        if pending_forks and not why:
            self.restarts.died(status)
        for fork in pending_forks:
            fork.channel.close()
            if not fork.child.done():
                fork.child.set_exception(CandidateError(why) if why else LostError())
        children, self.children = list(self.children.values()), {}
        for child in children:
            child.orphaned()

    def _stop_server(self) -> str:
        """It ends by itself once its channel is closed, after it has reaped its children. How it did, in words."""
        status = beginning.exit_status(self._process)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self.supervisor is not None:
            self.supervisor.close()
        return status

    def close(self) -> None:
        """Kill the fork server and all children."""
        self.restarts.leave()
        for child in list(self.children.values()):
            child.kill("killed", "the pool was closed")
        self._lose_server("The pool was closed.")
        if self._launch is not None:
            self._launch.release()
            self._launch = None
