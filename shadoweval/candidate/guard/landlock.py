"""Landlock: writing only below the writable places, TCP only to the allowed ports, judged by the kernel itself.

Source: `Documentation/userspace-api/landlock.rst` and `include/uapi/linux/landlock.h` of the kernel. Only rights that
change something are handled, so reading costs nothing and stays possible everywhere.
"""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH110

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from shadoweval.candidate.guard.policy import GuardPolicy
from shadoweval.candidate.guard.syscalls import libc, syscall

__all__ = ["DEVICES", "abi", "restrict"]

# Opened for writing by ordinary code; what is written to them changes nothing.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_WRITE_FILE, _TRUNCATE, _IOCTL_DEV = 1 << 1, 1 << 14, 1 << 15
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SOCK, _MAKE_FIFO, _MAKE_SYM, _REFER = (
    1 << bit for bit in (4, 5, 7, 8, 9, 10, 12, 13)
)
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_FILE = _WRITE_FILE | _TRUNCATE | _IOCTL_DEV
_FOLDER = _FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SOCK | _MAKE_FIFO | _MAKE_SYM | _REFER
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPES = 3  # abstract Unix sockets and signals: only to processes under the same rules
_RULE_PATH, _RULE_PORT = 1, 2
_NO_NEW_PRIVS = 38


def abi() -> int:
    """Version of the kernel's Landlock.

    Raises:
        OSError: ENOSYS or EOPNOTSUPP where there is none.
    """
    return syscall("landlock_create_ruleset", None, 0, 1)


def _known(rights: int, version: int) -> int:
    since = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV))
    for first, right in since:
        if version < first:
            rights &= ~right
    return rights


def _allow_path(ruleset: int, path: str, rights: int) -> None:
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(target).st_mode):
            rights &= _FILE
        syscall("landlock_add_rule", ruleset, _RULE_PATH, struct.pack("=Qi", rights, target), 0)
    finally:
        os.close(target)


def _allow_ports(ruleset: int, ports: Iterable[int]) -> None:
    syscall(
        "landlock_add_rule", ruleset, _RULE_PORT, struct.pack("=QQ", _BIND_TCP, 0), 0
    )  # listening is refused elsewhere
    for port in ports:
        syscall("landlock_add_rule", ruleset, _RULE_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)


def restrict(policy: GuardPolicy, version: int) -> None:
    """Restrict this thread and all it will make, for good.

    Raises:
        OSError: the kernel refused, or a writable path of the policy does not exist.
    """
    handled = _known(_FOLDER | _MAKE_CHAR | _MAKE_BLOCK, version)
    attributes = struct.pack("=QQQ", handled, _BIND_TCP | _CONNECT_TCP, _SCOPES)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall("landlock_create_ruleset", attributes, size, 0)
    try:
        for path in policy.writable_roots():
            _allow_path(ruleset, path, _known(_FOLDER, version))
        for path in DEVICES:
            if os.path.exists(path):
                _allow_path(ruleset, path, _known(_FILE, version))
        if version >= 4:
            _allow_ports(ruleset, {endpoint.port for endpoint in policy.allow})
        if libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
        syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
