"""Decide what the filter could not: look at the paths and addresses of one waiting system call."""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH110

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping

from shadoweval.candidate.guard.landlock import DEVICES
from shadoweval.candidate.guard.policy import GuardPolicy, inside
from shadoweval.candidate.guard.rules import (
    ADDRESSED,
    INHERITABLE,
    KIND,
    OPENS,
    OWN_THREADS,
    PATHS,
    SOCKET_TYPES,
    WRITE_FLAGS,
)
from shadoweval.candidate.guard.tracee import Caller, Peer

__all__ = ["Judge"]

_Arguments = tuple[int, ...]
_MODE = {"mknod": 1, "mknodat": 2}
_SIGNAL = {"kill": 1, "tkill": 1, "tgkill": 2, "rt_sigqueueinfo": 1, "rt_tgsigqueueinfo": 2}
_ONE_PROCESS = {"setpriority": 0, "ioprio_set": 1}  # PRIO_PROCESS, IOPRIO_WHO_PROCESS


class Judge:
    """The policy, applied to one call at a time. Whatever it has no rule for is refused."""

    def __init__(self, policy: GuardPolicy) -> None:
        self._roots = policy.writable_roots()
        self._addresses = policy.addresses()
        self._unix_sockets = frozenset(policy.unix_sockets)
        self.inherited: Mapping[int, str] = {}

    def refuses(self, name: str, arguments: _Arguments, caller: Caller) -> tuple[str, str] | None:
        """Kind and detail of the refusal, or None: the call may go on."""
        kind = KIND.get(name, "kernel")
        try:
            through = self._inherited(name, arguments, caller)
            if through:
                return "inherited", through
            detail = self._decision(name)(name, arguments, caller)
        except (OSError, ValueError) as error:
            detail = f"{name} (can't be read: {error})"
        return None if detail is None else (kind, detail)

    def _decision(self, name: str) -> Callable[[str, _Arguments, Caller], str | None]:
        if name in ADDRESSED:
            return self._address
        if name in OPENS:
            return self._open
        if name in PATHS:
            return self._change
        if name in _SIGNAL or name in OWN_THREADS or name in _ONE_PROCESS or name == "prlimit64":
            return _other_process
        if name == "socket":
            return _socket
        return _continued if name in INHERITABLE else _always

    def _inherited(self, name: str, arguments: _Arguments, caller: Caller) -> str:
        number = arguments[INHERITABLE[name]] & 0xFFFFFFFF if name in INHERITABLE else -1
        if number in self.inherited and caller.is_placeholder(number):
            return f"{name} {number} ({self.inherited[number]})"
        return ""

    def _open(self, name: str, arguments: _Arguments, caller: Caller) -> str | None:
        if name == "openat2":
            flags = int.from_bytes(caller.read(arguments[2], 8), "little")
            if not flags & WRITE_FLAGS:
                return None
        path = caller.path(OPENS[name], arguments)
        return None if path in DEVICES or inside(path, self._roots) else path

    def _change(self, name: str, arguments: _Arguments, caller: Caller) -> str | None:
        paths = [caller.path(target, arguments) for target in PATHS[name]]
        device = name in _MODE and stat.S_IFMT(arguments[_MODE[name]]) in {stat.S_IFCHR, stat.S_IFBLK}
        if not device and all(inside(path, self._roots) for path in paths):
            return None
        return f"{name} {' '.join(paths)}"

    def _address(self, name: str, arguments: _Arguments, caller: Caller) -> str | None:
        if name in {"sendmsg", "sendmmsg"}:
            peers = caller.messages(arguments[1], arguments[2] if name == "sendmmsg" else 1)
        elif name == "sendto":
            peers = iter((caller.address(arguments[4], arguments[5]),))
        else:
            peers = iter((caller.address(arguments[1], arguments[2]),))
        if name == "bind":
            return next(
                (_spelled(peer) for peer in peers if peer[1]), None
            )  # port 0 alone reaches nobody: listen is refused
        return next((_spelled(peer) for peer in peers if not self._allowed(peer)), None)

    def _allowed(self, peer: Peer) -> bool:
        """An address of the list; no address at all; a Unix socket that is not there, so that nothing can happen."""
        address, port = peer
        if port == -1:
            there = address.startswith("@") or os.path.exists(address)
            return address in self._unix_sockets or not there
        return peer == ("", 0) or peer in self._addresses


def _spelled(peer: Peer) -> str:
    address, port = peer
    if port == -1:
        return f"unix:{address}"
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _always(name: str, arguments: _Arguments, _caller: Caller) -> str:
    return f"ioctl {arguments[1]:#x}" if name == "ioctl" else name


def _continued(_name: str, _arguments: _Arguments, _caller: Caller) -> None:
    """A write to a number that no longer stands for an inherited descriptor."""


def _socket(_name: str, arguments: _Arguments, _caller: Caller) -> str | None:
    family, kind, protocol = arguments[0], arguments[1] & 0xF, arguments[2]
    types, protocols = SOCKET_TYPES.get(family, ((), ()))
    return None if kind in types and protocol in protocols else f"family {family} type {kind} protocol {protocol}"


def _other_process(name: str, arguments: _Arguments, caller: Caller) -> str | None:
    """Signals and scheduling are the candidate's own business as long as they aim at its own threads."""
    if name in _SIGNAL and not arguments[_SIGNAL[name]] & 0xFFFFFFFF:
        return None  # signal 0 only asks whether the process is there
    if name == "prlimit64" and not arguments[2]:
        return None  # only reads
    target = arguments[0]
    if name in _ONE_PROCESS:
        target = arguments[1] if target == _ONE_PROCESS[name] else 0
    own = os.path.exists(f"/proc/{caller.thread}/task/{target & 0xFFFFFFFF}")
    return None if own else f"{name} {' '.join(str(argument & 0xFFFFFFFF) for argument in arguments[:3])}"
