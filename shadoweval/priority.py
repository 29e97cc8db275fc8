"""Processes beside the application let it go first.

Where the system groups processes by session (Linux, `kernel.sched_autogroup_enabled`), `nice` counts within a session
only; the session has a level of its own, which unlike a process's may go down again without privileges.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["LEVEL", "session_level", "step_back"]

LEVEL: Final = 10
_SESSION: Final = Path("/proc/self/autogroup")


def step_back() -> None:
    """Lower priority for this process and its session, for good; its children inherit the process's."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(max(LEVEL - os.nice(0), 0))
    session_level(LEVEL)


def session_level(level: int) -> bool:
    """Set the level of this process's session, 0 to 19; False: there is none, or not now (ten times a second)."""
    try:
        _SESSION.write_text(str(level), encoding="ascii")
    except OSError:
        return False
    return True
