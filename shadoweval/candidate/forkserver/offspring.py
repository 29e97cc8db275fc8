"""A fork server's children, and what they leave behind."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ignore_signal", "kill", "offspring"]


def ignore_signal(signum: int, frame: Any) -> None:
    """A handler, since ignored signals wake nobody."""


def offspring() -> set[int]:
    """This process's children, orphans of candidates among them: they come to their subreaper."""
    try:
        listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:
        return set()
    return {int(pid) for pid in listed.split()}


def kill(send: Callable[[int, int], None], pid: int) -> None:
    """Send SIGKILL by `os.kill` or `os.killpg`."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        send(pid, signal.SIGKILL)
