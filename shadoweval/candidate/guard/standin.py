"""Calls that the supervisor makes in the caller's place: no rule of the kernel's layers could let just them through.

Named semaphores (`multiprocessing.Lock`, which progress bars and joblib make at import) lie in the caller's scratch
folder instead of /dev/shm; a child opens its own process's settings (`OWN_SETTINGS`).
Sources: seccomp_unotify(2) on SECCOMP_IOCTL_NOTIF_ADDFD, sem_overview(7).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import cache, partial

from shadoweval.candidate.guard.listener import Listener, Question
from shadoweval.candidate.guard.policy import OWN_SETTINGS
from shadoweval.candidate.guard.rules import OPENS, PATHS
from shadoweval.candidate.guard.watched import Watched

__all__ = ["stand_in"]

_FLAGS = {"open": 1, "openat": 2}
_OPENING = os.O_ACCMODE | os.O_CREAT | os.O_EXCL | os.O_TRUNC
_link = partial(os.link, follow_symlinks=False)  # or a link to a file outside would become that file
_OF_LINKS: dict[str, Callable[..., None]] = {
    "link": _link,
    "linkat": _link,
    "unlink": os.unlink,
    "unlinkat": os.unlink,
}
_MODE = 0o600


def stand_in(listener: Listener, question: Question, watched: Watched) -> bool:
    """Make the call that waits, and answer with what came of it; False: this is no such call."""
    try:
        call = _call(question, watched)
        if call is None:
            return False
        descriptor = call()
    except (OSError, ValueError) as error:
        listener.fail(question, getattr(error, "errno", None) or errno.EPERM)
        return True
    except Exception:  # noqa: BLE001 - a path that can't be followed, which is refused for that
        return False
    if descriptor is None:
        listener.fail(question, 0)
        return True
    listener.give(question, descriptor)
    os.close(descriptor)
    return True


def _open(path: str, flags: int) -> int:
    """Open a regular file, without waiting: a candidate may have put a FIFO there, say, which nobody else opens."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, _MODE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
    os.set_blocking(descriptor, True)
    return descriptor


def _call(question: Question, watched: Watched) -> Callable[[], int | None] | None:
    name, arguments = question.call, question.arguments
    caller = watched.caller(question.thread)
    if name in _FLAGS:
        path = caller.path(OPENS[name], arguments)
        flags = arguments[_FLAGS[name]] & _OPENING | os.O_CLOEXEC | os.O_NOFOLLOW
        beginning = watched.containment is None  # a child that narrows itself, a server that imports
        if beginning and path in {setting.replace("self", str(caller.thread)) for setting in OWN_SETTINGS}:
            return partial(_open, path, flags)
        own = _semaphore(path, watched.scratch)
        return partial(_open, own, flags) if own else None
    if name not in _OF_LINKS:
        return None
    own = [_semaphore(caller.path(target, arguments), watched.scratch) for target in PATHS[name]]
    return partial(_OF_LINKS[name], *own) if all(own) else None


@cache
def _outside() -> str:
    """How the paths of named semaphores begin."""
    return os.path.realpath("/dev/shm") + "/sem."  # noqa: S108 - where the C library puts them


def _semaphore(path: str, scratch: str) -> str:
    """Where the semaphore with that path lies in the scratch folder; empty: the path is none of a semaphore."""
    name = path.removeprefix(_outside())
    return f"{scratch}/sem.{name}" if name != path and "/" not in name else ""
