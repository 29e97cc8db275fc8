"""The kernel's questions, one at a time: seccomp's user notifications, by ioctl.

Sources: seccomp_unotify(2), `include/uapi/linux/seccomp.h`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import select
import struct
import sys
from typing import NamedTuple

from shadoweval.candidate.guard.syscalls import AUDIT_ARCH, native_numbers

if sys.platform != "win32":
    import fcntl

__all__ = ["Listener", "Question"]

_NOTIFICATION = struct.Struct("=QII iIQ 6Q")  # id, pid, flags, nr, arch, instruction pointer, arguments
_RESPONSE = struct.Struct("=QqiI")  # id, value, error, flags
_NEW_DESCRIPTOR = struct.Struct("=QIIII")  # id, flags, ours, theirs, their flags
_CONTINUE = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_AND_ANSWER = 2  # SECCOMP_ADDFD_FLAG_SEND (Linux 5.14)
_RECEIVE, _SEND, _SET_FLAGS, _ADD = 0xC0502100, 0xC0182101, 0x40082104, 0x40182103  # ioctls of the listener
_SYNC_WAKE_UP = 1


class Question(NamedTuple):
    """A system call that waits for an answer."""

    id: int
    thread: int
    call: str
    arguments: tuple[int, ...]


class Listener:
    """A seccomp filter's listening end; takes the descriptor over."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._names = {number: name for name, number in native_numbers().items()}
        with contextlib.suppress(OSError):  # Linux 6.6 and later: hand over without waking another core
            fcntl.ioctl(descriptor, _SET_FLAGS, _SYNC_WAKE_UP)

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._descriptor

    def close(self) -> None:
        """Whoever asks from now on is told that there is no such call (ENOSYS)."""
        os.close(self._descriptor)

    def receive(self) -> Question | bool:
        """The next question, without waiting; True: it was taken back, there may be more; False: there is none.

        Raises:
            EOFError: no process is left that could ask.
        """
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        ready = poll.poll(0)
        if not ready:
            return False
        if not ready[0][1] & select.POLLIN:
            raise EOFError
        question = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._descriptor, _RECEIVE, question)
        except OSError as error:
            return error.errno in {errno.ENOENT, errno.EINTR}  # the thread that asked was killed
        number, thread, _, call, arch, _, *arguments = _NOTIFICATION.unpack(question)
        known = arch == AUDIT_ARCH[platform.machine()] and call in self._names
        name = self._names[call] if known else f"call {call} of architecture {arch:#x}"
        return Question(number, thread, name, tuple(arguments))

    def allow(self, question: Question) -> None:
        """Let the call go on."""
        self._answer(question, 0, _CONTINUE)

    def fail(self, question: Question, code: int) -> None:
        """The call fails with errno `code`, or without any effect where it is 0."""
        self._answer(question, -code, 0)

    def give(self, question: Question, descriptor: int) -> None:
        """The call returns a copy of our `descriptor`; EPERM where the kernel can't do that (before 5.14)."""
        addition = _NEW_DESCRIPTOR.pack(question.id, _AND_ANSWER, descriptor, 0, os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._descriptor, _ADD, addition)
        except OSError:
            self.fail(question, errno.EPERM)

    def _answer(self, question: Question, error: int, flags: int) -> None:
        # Gone or interrupted meanwhile: the act did not happen, and is asked again if it is repeated.
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._descriptor, _SEND, _RESPONSE.pack(question.id, 0, error, flags))
