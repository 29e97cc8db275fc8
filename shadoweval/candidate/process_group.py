"""A child's process and its group, which can be killed by nothing but their own number."""

from __future__ import annotations

import contextlib
import os
import signal

__all__ = ["ProcessGroup"]


class ProcessGroup:
    """A process that leads a group, to be killed from any thread.

    On Linux a descriptor of it (pidfd_open(2)) tells whether it was reaped: then its number may be another process's
    already, which matters where the reader of that news is held up.

    Args:
        pid: The process's and the group's number.
        descriptor: Of the process, from now on this object's to close; -1: it is opened.
    """

    def __init__(self, pid: int, *, descriptor: int = -1) -> None:
        self.pid, self.descriptor = pid, descriptor
        if descriptor < 0:
            with contextlib.suppress(AttributeError, OSError):  # elsewhere the number has to do
                self.descriptor = os.pidfd_open(pid)

    def kill(self) -> None:
        """Kill it and its group at once, unless it was reaped."""
        if self.descriptor >= 0:
            try:
                signal.pidfd_send_signal(self.descriptor, 0)
            except ProcessLookupError:
                return
            except OSError:  # closed meanwhile
                pass
        # Suppressed: it is gone, or not yet the leader of its group; then the closed channel ends it.
        for kill in (os.killpg, os.kill):  # it may have left its group
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the descriptor."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
