"""The parent's side: answer the kernel's questions about a candidate and count every refusal.

Sources: seccomp_unotify(2), `include/uapi/linux/seccomp.h`. Asked per call that may change something (connect, open for
writing, sendmsg, unlink, ...); reading, computing and threads never ask.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import select
import selectors
import socket
import struct
import sys

import msgspec

from shadoweval.candidate.guard.policy import Containment, GuardPolicy
from shadoweval.candidate.guard.rules import KIND
from shadoweval.candidate.guard.rulings import Caller, Rulings, sends_kill
from shadoweval.candidate.guard.syscalls import AUDIT_ARCH, native_numbers
from shadoweval.records import Refusal

if sys.platform != "win32":
    import fcntl

__all__ = ["Supervisor"]

MESSAGE_MAX = 1 << 16
_NOTIFICATION = struct.Struct("=QII iIQ 6Q")  # id, pid, flags, nr, arch, instruction pointer, arguments
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_RECEIVE, _SEND, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082104  # ioctls of the listener
_SYNC_WAKE_UP = 1
_BATCH = 64  # questions answered per visit, so that one candidate can't hold up a pool
_WAIT_SECONDS = 2  # how long a candidate waits to report a refusal to a parent that does not read

_containment, _refusal = msgspec.msgpack.Decoder(Containment), msgspec.msgpack.Decoder(Refusal)


class Supervisor:
    """Answers for one candidate. Poll `fileno()`, call `handle_ready()`.

    While nobody does, the candidate's guarded calls wait; after `close` they fail (the kernel answers ENOSYS).

    Attributes:
        candidate_fd: the candidate's end, for `contain(policy, on_refusal=...)`.
        containment: what holds the candidate, once it said so.
        finished: the candidate is gone.
        killed_itself: it has sent SIGKILL to itself, so far as it asked: whoever else did is unknown.
    """

    def __init__(self, policy: GuardPolicy) -> None:
        kind = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
        self._channel, self._candidate = socket.socketpair(socket.AF_UNIX, kind)
        self._channel.setblocking(False)
        self._candidate.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _WAIT_SECONDS, 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._names = {number: name for name, number in native_numbers().items()}
        self._rulings = Rulings(policy)
        self._listener = -1
        self._caller: Caller | None = None
        self.containment: Containment | None = None
        self.finished = False
        self.killed_itself = False

    @property
    def candidate_fd(self) -> int:
        """Number of the candidate's end in this process; -1 after `release`."""
        return self._candidate.fileno()

    def release(self) -> None:
        """Close this process's copy of the candidate's end, once the candidate (or the fork server) has it."""
        self._candidate.close()

    def fileno(self) -> int:
        """Readable whenever `handle_ready` has something to do (epoll or kqueue)."""
        descriptor: int = self._selector.fileno()  # type: ignore[attr-defined] (both selectors have it)
        return descriptor

    def handle_ready(self) -> tuple[Refusal, ...]:
        """Answer what waits, without waiting; the refusals since the last call."""
        # One system call where nothing waits, since the pool asks after every run. `finished` says nothing here: the
        # kernel's end may be gone while the last reports still lie in the channel.
        closed = self._selector.get_map() is None  # pyright: ignore[reportUnnecessaryComparison] - typeshed forgets it
        if closed or not self._selector.select(0):
            return ()
        refusals: list[Refusal] = []
        self._read_reports(refusals)
        for _ in range(_BATCH):
            if self._listener < 0 or not self._answer_one(refusals):
                break
        return tuple(refusals)

    def close(self) -> None:
        """Let go of the candidate; guarded calls that it still makes fail."""
        self.finished = True
        for channel in (self._channel, self._candidate):
            channel.close()
        self._drop_listener()
        self._selector.close()

    def _read_reports(self, refusals: list[Refusal]) -> None:
        while self._channel.fileno() >= 0:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, MESSAGE_MAX, 1)
            except BlockingIOError:
                return
            except ConnectionError:
                message, descriptors = b"", []
            if not message:
                self._selector.unregister(self._channel)
                self._channel.close()
                self.finished = self._listener < 0
                return
            self._take(message, descriptors, refusals)

    def _take(self, message: bytes, descriptors: list[int], refusals: list[Refusal]) -> None:
        """Take one report. Candidate code can write here too, so nothing but the first record is believed."""
        if self.containment is None:
            with contextlib.suppress(msgspec.MsgspecError):
                self.containment = _containment.decode(message)
                self._rulings.inherited = dict(self.containment.inherited)
                for listener in descriptors:
                    self._listen(listener)
                return
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            refusal = _refusal.decode(message)
        except msgspec.MsgspecError:
            refusal = Refusal(kind="ipc", detail="a forged report", layer="notify")
        refusals.append(Refusal(kind=refusal.kind, detail=refusal.detail, layer=refusal.layer))  # each counts once

    def _listen(self, listener: int) -> None:
        self._listener = listener
        with contextlib.suppress(OSError):  # Linux 6.6 and later: hand over without waking another core
            fcntl.ioctl(listener, _SET_FLAGS, _SYNC_WAKE_UP)
        self._selector.register(listener, selectors.EVENT_READ)

    def _answer_one(self, refusals: list[Refusal]) -> bool:
        """Receive, judge, answer one question; False if there is none."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        ready = poll.poll(0)
        if not ready:
            return False
        if not ready[0][1] & select.POLLIN:
            self._drop_listener()
            self.finished = True
            return False
        question = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, question)
        except OSError as error:
            return error.errno in {errno.ENOENT, errno.EINTR}  # the thread that asked was killed
        number, thread, _, call, arch, _, *arguments = _NOTIFICATION.unpack(question)
        refusal = self._refusal(thread, self._name(call, arch), tuple(arguments))
        answer = (number, 0, -errno.EPERM, 0) if refusal else (number, 0, 0, _CONTINUE)
        try:
            fcntl.ioctl(self._listener, _SEND, _RESPONSE.pack(*answer))
        except OSError:
            return True  # gone or interrupted meanwhile: the act did not happen, and is asked again if it is repeated
        if refusal:
            refusals.append(refusal)
        return True

    def _name(self, call: int, arch: int) -> str:
        known = arch == AUDIT_ARCH[platform.machine()] and call in self._names
        return self._names[call] if known else f"call {call} of architecture {arch:#x}"

    def _refusal(self, thread: int, name: str, arguments: tuple[int, ...]) -> Refusal | None:
        try:
            caller = self._caller_of(thread)
        except OSError as error:
            detail = f"{name} (can't be read: {error.strerror})"
            return Refusal(kind=KIND.get(name, "kernel"), detail=detail, layer="notify")
        refused = self._rulings.refuses(name, arguments, caller)
        self.killed_itself |= refused is None and sends_kill(name, arguments)
        return Refusal(kind=refused[0], detail=refused[1][:500], layer="notify") if refused else None

    def _caller_of(self, thread: int) -> Caller:
        """The candidate; its memory stays the same one for all its threads, since it can't exec."""
        if self._caller is None:
            self._caller = Caller(thread)
        self._caller.thread = thread
        return self._caller

    def _drop_listener(self) -> None:
        if self._listener >= 0:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._listener)
            os.close(self._listener)
            self._listener = -1
        if self._caller is not None:
            self._caller.close()
            self._caller = None
