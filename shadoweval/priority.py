"""Processes beside the application let it go first.

Where the system groups processes by session (Linux, `kernel.sched_autogroup_enabled`), `nice` counts within a session
only; the session has a level of its own, which unlike a process's may go down again without privileges. SCHED_IDLE
too counts within a group only: a process that idles leaves its session to nobody, and its children stay there.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

__all__ = ["LEVEL", "idle", "idling", "session_level", "set_apart", "step_back"]

LEVEL: Final = 10
_SESSION: Final = Path("/proc/self/autogroup")


def step_back() -> None:
    """Lower priority for this process, for good, and with it for its children; for its session where it leads one.

    Somebody else's session may be the application's. A process that idles is behind everything already.
    """
    if idling():
        return
    with contextlib.suppress(OSError, AttributeError):
        os.nice(max(LEVEL - os.nice(0), 0))
    if os.getsid(0) == os.getpid():
        session_level(LEVEL)


def session_level(level: int) -> bool:
    """Set the level of this process's session, 0 to 19; False: there is none, or not now (ten times a second)."""
    try:
        _SESSION.write_text(str(level), encoding="ascii")
    except OSError:
        return False
    return True


def idle() -> bool:
    """Run only while nothing else of this session wants a processor (SCHED_IDLE), for good: all threads and children.

    False: this system has no such thing.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (OSError, AttributeError):
        return False
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))
    return True


def idling() -> bool:
    """Whether `idle` was called here, or in a process that this one descends from."""
    try:
        return os.sched_getscheduler(0) == os.SCHED_IDLE
    except (OSError, AttributeError):
        return False


def set_apart() -> None:
    """Have a group of its own, for signals; and a session, unless this process idles within the one that it is in."""
    if idling():
        os.setpgid(0, 0)
        _leave_terminal()
        return
    os.setsid()
    session_level(LEVEL)


def _leave_terminal() -> None:
    """The session's terminal is not this process's any more (tty_ioctl(4)); a session of its own has none."""
    import fcntl  # noqa: PLC0415 - not on every system that this module is loaded on
    import termios  # noqa: PLC0415 - see above

    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)
