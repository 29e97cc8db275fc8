"""Kills what runs as soon as somebody kills the experiment, whatever the pool's event loop or its process waits for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from shadoweval.candidate.process_group import ProcessGroup

__all__ = ["KillWatch", "watch"]

_LOOK: Final = 0.025
"""Seconds between two looks, of the thread and of the process."""
_AGAIN: Final = 1.0
"""Seconds between two starts of the process, where it dies each time."""
_PID: Final = 8
"""Bytes of a message to the process, which come with the descriptor of that pid."""


class KillWatch:
    """A thread, and beside it a process, that ask whether the experiment is killed and then kill what runs.

    The thread knows of every kill, and goes on while the event loop waits for a locked table, a full disk or a database
    that hangs. The process knows of those that are files, and goes on while this whole process is stopped or stuck; it
    kills everything too when this process is gone. It is started again when it dies.

    Args:
        killed: Asked by the thread; must neither raise nor wait. None: nobody can kill, and nothing is watched.
        strike: Kills what runs; called by the thread, so long as `killed` says yes.
        outside: Module whose `main` the process runs, and what that takes after the number for `watch`; empty: none.
    """

    def __init__(
        self,
        killed: Callable[[], bool] | None,
        strike: Callable[[], None] = lambda: None,
        *,
        outside: tuple[str, ...] = (),
    ) -> None:
        self.killed: Callable[[], bool] = killed or (lambda: False)
        self._strike, self._outside = strike, outside if hasattr(os, "pidfd_open") else ()
        self._again = 0.0
        self._over, self._lock = threading.Event(), threading.Lock()
        self._groups: list[ProcessGroup] = []
        self._struck: set[int] = set()
        """Pids that the process has killed."""
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._thread: threading.Thread | None = None
        if killed is not None:
            self._begin()
            self._thread = threading.Thread(target=self._watch, name="shadoweval-kill-watch", daemon=True)
            self._thread.start()

    def add(self, group: ProcessGroup) -> None:
        """A candidate's process, before anything runs in it."""
        with self._lock:
            self._groups = [known for known in self._groups if known.descriptor >= 0]
            self._groups.append(group)
            self._tell(group)

    def struck(self, group: ProcessGroup) -> bool:
        """Whether a process that is gone was killed since the experiment was, also where that is over by now."""
        with self._lock:
            while self._channel is not None and (content := _received(self._channel)[0]):
                self._struck.add(int.from_bytes(content, "little"))
            known = group.pid in self._struck
            self._struck.discard(group.pid)
        return known or self.killed()

    def _tell(self, group: ProcessGroup) -> None:
        if self._process is None or self._channel is None or group.descriptor < 0:
            return
        try:
            socket.send_fds(self._channel, [group.pid.to_bytes(_PID, "little")], [group.descriptor])
        except OSError:  # it is gone, or reads no more: the thread starts another, and tells that one of all
            self._process.kill()

    def _begin(self) -> None:
        """Start the process; without one, where that can't be done, the thread watches alone."""
        if not self._outside:
            return
        self._again = time.monotonic() + _AGAIN
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._hang_up()
        self._channel = ours
        module, *arguments = self._outside
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; from {module} import main; main({theirs.fileno()}, *{arguments})"
        )
        with theirs, contextlib.suppress(OSError):
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter and our own module
                [sys.executable, "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-Z stops this process, and must not stop that one
            )
        for group in self._groups:
            self._tell(group)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK):
            if self.killed():
                self._strike()
            with self._lock:
                dead = self._process is not None and self._process.poll() is not None
                if dead and time.monotonic() > self._again:
                    self._begin()

    def close(self) -> None:
        """Watch no more. What still runs is killed by the process, on its way out."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._hang_up()
        if self._process is not None:
            self._process.wait()

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()


def watch(descriptor: int, killed: Callable[[], bool]) -> None:
    """Serve a `KillWatch` as its process, until that is gone: then kill what is left.

    Args:
        descriptor: of the socket on which the pool's processes come.
        killed: asked forty times a second while there are any.
    """
    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # it ends with its pool, and not before
        signal.signal(sign, signal.SIG_IGN)
    _step_forward()
    channel, poller = socket.socket(fileno=descriptor), select.poll()
    poller.register(channel, select.POLLIN)
    groups: dict[int, ProcessGroup] = {}
    while True:
        for ready, _ in poller.poll(1000 * _LOOK if groups else None):
            if ready != descriptor:  # a process has ended
                poller.unregister(ready)
                groups.pop(ready).close()
                continue
            content, descriptors = _received(channel)
            if not content:
                _kill(groups, channel)
                return
            for number in descriptors:
                groups[number] = ProcessGroup(int.from_bytes(content, "little"), descriptor=number)
                poller.register(number, select.POLLIN)
        if groups and killed():
            for number in groups:
                poller.unregister(number)
            _kill(groups, channel)


def _step_forward() -> None:
    """The pool's process lets others go first, a kill does not: ordinary priority, where this user may take it back."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)


def _received(channel: socket.socket) -> tuple[bytes, list[int]]:
    try:
        content, descriptors, *_ = socket.recv_fds(channel, _PID, 1)
    except OSError:
        return b"", []
    return content, descriptors


def _kill(groups: dict[int, ProcessGroup], channel: socket.socket) -> None:
    for group in groups.values():
        with contextlib.suppress(OSError):  # nobody is there, or reads: it will ask the switch itself
            channel.send(group.pid.to_bytes(_PID, "little"), socket.MSG_DONTWAIT)
        group.kill()
        group.close()
    groups.clear()
