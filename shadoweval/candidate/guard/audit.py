"""The audit hook (PEP 578): refuses what Python code tries, early and with a name. It is no sandbox.

It can't see what native code does and can't be removed again, so it belongs into a fork server and what it forks only,
above the kernel's layers. Events: <https://docs.python.org/3/library/audit_events.html>.
"""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH117

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from shadoweval.candidate.guard.landlock import DEVICES
from shadoweval.candidate.guard.policy import (
    OWN_SETTINGS,
    GuardPolicy,
    RefusedError,
    inside,
    normal_address,
    real_path,
    spelled,
)
from shadoweval.candidate.guard.rules import WRITE_FLAGS
from shadoweval.records import Refusal

__all__ = ["Checks", "answer_names", "install"]

_Check = Callable[[tuple[Any, ...]], None]

_PROCESS_EVENTS = (
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system", "pty.spawn",
    "subprocess.Popen",
)  # fmt: skip
# Which arguments are paths. Those that follow a last symbolic link come first.
_FOLLOWING = {"os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,), "os.utime": (0,), "os.chflags": (0,)} | {
    "os.setxattr": (0,),
    "os.removexattr": (0,),
}
_NOT_FOLLOWING = {"os.mkdir": (0,), "os.rmdir": (0,), "os.remove": (0,), "os.rename": (0, 1), "os.link": (0, 1)} | {
    "os.symlink": (1,),
}


class Checks:
    """One method per family of events, bound to the policy.

    Args:
        policy: what is allowed.
        report: told of each refusal before the error is raised; must not itself do what is refused.

    Attributes:
        forking: this process is forking a child of its own.
    """

    def __init__(self, policy: GuardPolicy, report: Callable[[Refusal], None]) -> None:
        self.forking = self._narrowed = False
        self._roots = policy.writable_roots()
        self._files = frozenset((*DEVICES, *OWN_SETTINGS))
        self._addresses = policy.addresses()
        self._names = {(endpoint.host.lower(), endpoint.port) for endpoint in policy.allow}
        self._hosts = {name for name, _ in self._names} | {"", "localhost"}
        self._unix_sockets = frozenset(policy.unix_sockets)
        self._report = report

    def narrow(self, policy: GuardPolicy) -> None:
        """Hold to a child's policy from now on; it starts no process, and signals nobody but itself."""
        self._roots, self._files = policy.writable_roots(), frozenset(DEVICES)
        self.forking, self._narrowed = False, True

    def table(self, *, files_by_kernel: bool) -> dict[str, _Check]:
        """Event to check; with the kernel's file layers, SQLite may open for reading what it may not write."""
        table: dict[str, _Check] = {"open": self._open, "os.kill": self._kill, "os.killpg": self._kill_group}
        table |= dict.fromkeys(("socket.connect", "socket.sendto", "socket.sendmsg"), self._address)
        table |= {"socket.bind": self._bind, "socket.getaddrinfo": self._name, "socket.gethostbyname": self._name}
        table["socket.gethostbyaddr"] = self._name
        for event in _PROCESS_EVENTS:
            table[event] = lambda arguments, event=event: self._process(event, arguments)
        for event, positions in (_FOLLOWING | _NOT_FOLLOWING).items():
            table[event] = self._changer(event, positions)
        if not files_by_kernel:
            table["sqlite3.connect"] = self._database
        return {"socket.connect": self._connect} | {k: v for k, v in table.items() if k != "socket.connect"}

    def _refuse(self, kind: str, detail: str) -> NoReturn:
        refusal = Refusal(kind=kind, detail=detail[:500], layer="audit")
        self._report(refusal)
        raise RefusedError(refusal)

    def _writable(self, path: Any, *, follow: bool) -> bool:
        return inside(real_path(os.fsdecode(path), follow=follow), self._roots)

    def _open(self, arguments: tuple[Any, ...]) -> None:
        path, _, flags = arguments
        if isinstance(flags, int) and flags & WRITE_FLAGS and not isinstance(path, int):  # noqa: SIM102 (what is asked, then what is refused)
            if path is None or not (self._writable(path, follow=True) or os.fsdecode(path) in self._files):
                self._refuse("open.write", _plain(path))

    def _changer(self, event: str, positions: tuple[int, ...]) -> _Check:
        follow = event in _FOLLOWING

        def check(arguments: tuple[Any, ...]) -> None:
            folders = [entry for entry in arguments[positions[-1] + 1 :] if isinstance(entry, int) and entry > 2]
            for position in positions:
                path = arguments[position]
                if isinstance(path, int) or (folders and not os.path.isabs(os.fsdecode(path))):
                    continue  # a descriptor, or a path relative to one: only the kernel knows where that leads
                if not self._writable(path, follow=follow):
                    self._refuse("file.change", f"{event.removeprefix('os.')} {_plain(path)}")

        return check

    def _allowed(self, address: Any) -> bool:
        if isinstance(address, tuple):
            host, port = str(address[0]), address[1]
            return (normal_address(host), port) in self._addresses or (host.lower(), port) in self._names
        return os.fsdecode(address) in self._unix_sockets if isinstance(address, (str, bytes)) else False

    def _connect(self, arguments: tuple[Any, ...]) -> None:
        if not self._allowed(arguments[1]):
            self._refuse("socket.connect", _spelled(arguments[1]))

    def _address(self, arguments: tuple[Any, ...]) -> None:
        if arguments[1] is not None and not self._allowed(arguments[1]):
            self._refuse("socket.send", _spelled(arguments[1]))

    def _bind(self, arguments: tuple[Any, ...]) -> None:
        address = arguments[1]
        if not (isinstance(address, tuple) and address[1] == 0):  # port 0 alone reaches nobody: listening is refused
            self._refuse("socket.bind", _spelled(address))

    def _name(self, arguments: tuple[Any, ...]) -> None:
        host = arguments[0]
        name = os.fsdecode(host).lower() if isinstance(host, (str, bytes)) else ""
        if name not in self._hosts and not _numeric(name):
            self._refuse("socket.resolve", name)

    def _process(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "os.fork" or not self.forking:
            self._refuse("process", f"{event} {_plain(arguments)}")

    def _kill(self, arguments: tuple[Any, ...]) -> None:
        # A fork server signals its children, and the kernel's layers see to it that these are its own.
        if self._narrowed and arguments[0] != os.getpid() and arguments[1] != 0:
            self._refuse("signal", f"kill {arguments[0]} {arguments[1]}")

    def _kill_group(self, arguments: tuple[Any, ...]) -> None:
        if self._narrowed:
            self._refuse("signal", f"killpg {arguments[0]} {arguments[1]}")

    def _database(self, arguments: tuple[Any, ...]) -> None:
        name = os.fsdecode(arguments[0])
        reading = name.startswith("file:") and ("mode=ro" in name or "immutable=1" in name or "mode=memory" in name)
        if name not in {"", ":memory:"} and not reading and not self._writable(name.removeprefix("file:"), follow=True):
            self._refuse("open.write", f"sqlite3.connect {name}")


def _numeric(name: str) -> bool:
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


def _spelled(address: Any) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return spelled(str(address[0]), address[1])
    return f"unix:{_plain(address)}"


def _plain(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, (str, bytes)) else repr(value)


def install(checks: Checks, *, files_by_kernel: bool) -> None:
    """Refuse from now on, in every thread of this process and what it forks, until it ends.

    Args:
        checks: what is refused.
        files_by_kernel: the kernel guards files too, so what native code opens needs no guess here.
    """
    table = checks.table(files_by_kernel=files_by_kernel)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in table:
            table[event](arguments)

    sys.addaudithook(hook)


def answer_names(policy: GuardPolicy) -> None:
    """Answer `socket.getaddrinfo` for the endpoints' names from what `resolved` found: no name server is asked."""
    pinned = {endpoint.host.lower(): endpoint.addresses for endpoint in policy.allow if endpoint.addresses}
    if not pinned:
        return
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *rest: Any, **named: Any) -> list[Any]:
        name = os.fsdecode(host).lower() if isinstance(host, (str, bytes)) else ""
        if name not in pinned:
            return look_up(host, port, *rest, **named)
        return [entry for address in pinned[name] for entry in _or_nothing(look_up, address, port, *rest, **named)]

    socket.getaddrinfo = getaddrinfo


def _or_nothing(look_up: Callable[..., list[Any]], *arguments: Any, **named: Any) -> list[Any]:
    """An address of the other family than the one asked for is no answer."""
    try:
        return look_up(*arguments, **named)
    except socket.gaierror:
        return []
