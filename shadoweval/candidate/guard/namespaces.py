"""A network namespace without any interface that is up: nothing to connect to, whoever asks."""
# Paths are text here, as they are for system calls.

from __future__ import annotations

import os

from shadoweval.candidate.guard.syscalls import syscall

__all__ = ["leave_network"]

_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # CLONE_NEWUSER, CLONE_NEWNET


def leave_network() -> None:
    """Enter a new network namespace; without the privilege for it, inside a new user namespace with the same ids.

    With the privilege no user namespace is made: it would take away the right to read other users' files.

    Raises:
        OSError: not permitted here (Docker's default profile), or the process has several threads.
    """
    try:
        syscall("unshare", _NEW_NET)
    except PermissionError:
        user, group = os.getuid(), os.getgid()
        syscall("unshare", _NEW_USER | _NEW_NET)
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            target = os.open(f"/proc/self/{name}", os.O_WRONLY)
            try:
                os.write(target, text.encode())
            finally:
                os.close(target)
