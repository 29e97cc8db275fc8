"""Decide what the filter could not: look at the paths and addresses of one waiting system call.

Sources on locks: flock(2), fcntl(2), and SQLite's os_unix.c for the bytes that it locks.
"""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH110

from __future__ import annotations

import os
import signal
import stat
import struct
from collections.abc import Callable, Iterable, Mapping

from shadoweval.candidate.guard.caller import Caller, Peer, signed
from shadoweval.candidate.guard.landlock import DEVICES
from shadoweval.candidate.guard.policy import GuardPolicy, inside, spelled
from shadoweval.candidate.guard.rules import (
    ADDRESSED,
    INHERITABLE,
    KIND,
    LOCK_COMMANDS,
    OPENS,
    OWN_THREADS,
    OWNER_COMMANDS,
    PATHS,
    SOCKET_TYPES,
    STEPPING_BACK,
    WRITE_FLAGS,
)

__all__ = ["Rulings", "sends_kill"]

_Arguments = tuple[int, ...]
_MODE = {"mknod": 1, "mknodat": 2}
_SIGNAL = {"kill": 1, "tkill": 1, "tgkill": 2, "rt_sigqueueinfo": 1, "rt_tgsigqueueinfo": 2}
_ONE_PROCESS = {"setpriority": 0, "ioprio_set": 1}  # PRIO_PROCESS, IOPRIO_WHO_PROCESS


class Rulings:
    """The policy, applied to one call at a time. Whatever it has no rule for is refused.

    Args:
        policy: what is allowed; None: nothing that changes anything.

    Attributes:
        inherited: what the caller's inherited descriptors were, by number.
        forks_expected: how many children the caller was asked to fork and has not told of yet.
    """

    def __init__(self, policy: GuardPolicy | None) -> None:
        self._roots = policy.writable_roots() if policy else ()
        self._addresses = policy.addresses() if policy else frozenset[tuple[str, int]]()
        self._unix_sockets = frozenset(map(_place, policy.unix_sockets if policy else ()))
        self._execs = policy.execs if policy else 0
        self.inherited: Mapping[int, str] = {}
        self.forks_expected = 0

    def refuses(self, name: str, arguments: _Arguments, caller: Caller) -> tuple[str, str] | None:
        """Kind and detail of the refusal, or None: the call may go on."""
        kind = KIND.get(name, "kernel")
        try:
            through = self._inherited(name, arguments, caller)
            if through:
                return "inherited", through
            detail = self._decision(name)(name, arguments, caller)
        except Exception as error:  # noqa: BLE001 - whatever a candidate made unreadable
            detail = f"{name} (can't be read: {str(error) or type(error).__name__})"
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
        other = {
            "clone": self._clone,
            "execve": self._exec,
            "socket": _socket,
            "fcntl": self._lock,
            "flock": self._lock,
        }
        return other.get(name, _continued if name in INHERITABLE else _always)

    def _inherited(self, name: str, arguments: _Arguments, caller: Caller) -> str:
        number = arguments[INHERITABLE[name]] & 0xFFFFFFFF if name in INHERITABLE else -1
        if number in self.inherited and caller.is_placeholder(number):
            return f"{name} {number} ({self.inherited[number]})"
        return ""

    def _clone(self, name: str, _arguments: _Arguments, caller: Caller) -> str | None:
        """A process by the thread that the pool asks for one; more than once, since a signal begins the call anew."""
        return None if self.forks_expected > 0 and caller.thread == caller.process else name

    def _exec(self, name: str, _arguments: _Arguments, caller: Caller) -> str | None:
        """Becoming another program, whose memory is another one."""
        if self._execs <= 0:
            return name
        self._execs -= 1
        caller.close()
        return None

    def _lock(self, name: str, arguments: _Arguments, caller: Caller) -> str | None:
        return _lock_refused(name, arguments, descriptor=caller.descriptor, read=caller.read, roots=self._roots)

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
            peers = iter((caller.address(arguments[1], arguments[2], connects=name == "connect"),))
        if name == "bind":
            return next(
                (_spelled(peer) for peer in peers if peer[1]), None
            )  # port 0 alone reaches nobody: listen is refused
        return next((_spelled(peer) for peer in peers if not self._allowed(peer)), None)

    def _allowed(self, peer: Peer) -> bool:
        """An address of the list; no address at all; a Unix socket that is not there, so that nothing can happen."""
        address, port = peer
        if port == -1:
            return _place(address) in self._unix_sockets or not (address.startswith("@") or _is_there(address))
        return peer == ("", 0) or peer in self._addresses


def _place(unix_socket: str) -> str:
    return os.path.realpath(unix_socket) if unix_socket and not unix_socket.startswith("@") else unix_socket


def _is_there(path: str) -> bool:
    """Whether something has that path; OSError where we can't tell."""
    try:
        return bool(path and os.stat(path))  # noqa: PTH116 - a text, as above
    except (FileNotFoundError, NotADirectoryError):
        return False


def _spelled(peer: Peer) -> str:
    return f"unix:{peer[0]}" if peer[1] == -1 else spelled(*peer)


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
        target = arguments[1] if target == _ONE_PROCESS[name] else -1
    itself = not target and name not in _SIGNAL  # of signals 0 means a group
    own = itself or os.path.exists(f"/proc/{caller.thread}/task/{target & 0xFFFFFFFF}")
    if name == "kill" and not own:
        own = _parent(abs(signed(target))) == caller.process  # a fork server ends its children and their groups
    own = own and _steps_back(name, arguments, caller.thread)
    return None if own else f"{name} {' '.join(str(argument & 0xFFFFFFFF) for argument in arguments[:3])}"


def sends_kill(name: str, arguments: _Arguments) -> bool:
    """Whether a call sends SIGKILL; one that may go on is aimed at the caller itself."""
    return name in _SIGNAL and arguments[_SIGNAL[name]] & 0xFFFFFFFF == signal.SIGKILL


def _parent(process: int) -> int:
    try:
        with open(f"/proc/{process}/stat", "rb") as stat:  # noqa: PTH123 - while a call waits
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return -1


_REAL_TIME = 1  # IOPRIO_CLASS_RT


def _steps_back(name: str, arguments: tuple[int, ...], thread: int) -> bool:
    """Whether a call leaves the priority of `thread` where it is, or lowers it."""
    if name == "setpriority":
        low = arguments[2] & 0xFFFFFFFF
        return (low - (1 << 32) if low >> 31 else low) >= os.getpriority(os.PRIO_PROCESS, thread)
    if name == "ioprio_set":
        return arguments[2] >> 13 & 7 != _REAL_TIME
    if name == "sched_setscheduler":
        policy = arguments[1] & 0xFF
        return policy in STEPPING_BACK or (not policy and os.sched_getscheduler(thread) == policy)
    return name != "sched_setattr"


_LOCK_NB, _LOCK_UN = 4, 8
_FLOCK = struct.Struct("=hhxxxxq")  # struct flock: l_type, l_whence, l_start
_READ_LOCK, _NO_LOCK = 0, 2  # F_RDLCK, F_UNLCK
_SQLITE = range(0x40000000, 0x40000200)  # PENDING_BYTE and what follows


def _lock_refused(
    name: str,
    arguments: tuple[int, ...],
    *,
    descriptor: Callable[[int], str],
    read: Callable[[int, int], bytes],
    roots: Iterable[str],
) -> str | None:
    """What is refused of a `flock` or `fcntl`, or None.

    A lock on a file outside would stall whoever writes it. SQLite's read locks alone are let through: without them it
    would read what is half written.

    Args:
        name: the call.
        arguments: its arguments.
        descriptor: the path that a descriptor leads to.
        read: reads the caller's memory.
        roots: where it may write.
    """
    command = arguments[1] & 0xFFFFFFFF
    if name == "fcntl" and command in OWNER_COMMANDS:
        return f"fcntl {command} (who is sent a signal, or has a lease)"
    if name == "fcntl" and command not in LOCK_COMMANDS:
        return None
    path = descriptor(arguments[0] & 0xFFFFFFFF)
    if not path.startswith("/") or path.startswith("/memfd:") or inside(path, roots):
        return None
    if name == "flock":
        return None if command & ~_LOCK_NB == _LOCK_UN else f"flock {path}"
    kind, whence, start = _FLOCK.unpack(read(arguments[2], _FLOCK.size))
    sqlite = kind == _READ_LOCK and not whence and start in _SQLITE and command in LOCK_COMMANDS[:2]
    return None if kind == _NO_LOCK or sqlite else f"fcntl {path}"
