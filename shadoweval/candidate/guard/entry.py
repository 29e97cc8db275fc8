"""Enter the guard: the ladder of layers, in the only order that works, and a record of what is in force."""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH112, PTH116

from __future__ import annotations

import errno
import functools
import importlib
import os
import platform
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import msgspec

from shadoweval.candidate.guard import audit, inherited, landlock, rules, seccomp
from shadoweval.candidate.guard.policy import Containment, GuardPolicy, Layer, Missing
from shadoweval.candidate.guard.syscalls import libc, native_numbers
from shadoweval.errors import CandidateError
from shadoweval.records import Refusal

__all__ = ["contain", "prepare"]

_REHEARSALS = 20  # the interpreter specialises code after eight runs
_OFF = "switched off by the policy"


def prepare() -> None:
    """Do once in the fork server what every child would do again: load libraries, ask the kernel, compile filters."""
    for module in ("array", "resource"):
        with suppress(ImportError):
            importlib.import_module(module)
    if native_numbers():
        _ = libc().prctl  # looked up once, then kept by ctypes
        seccomp.ask_available()
        for _ in range(_REHEARSALS):
            _rehearse()


def _rehearse() -> None:
    """Run the parts without effect: what the interpreter learns here, no child must learn on copied pages."""
    seccomp.program(rules.own_rules((3, 4), (5, 6)), seccomp.ASK, tail=seccomp.common_part())
    audit.Checks(GuardPolicy(scratch=os.devnull), print).table(files_by_kernel=True)
    msgspec.msgpack.encode(Containment((), (Missing("netns", ""),), (), ((5, ""),)))
    inherited.in_use()


class _Ladder:
    """Tries layers and remembers the outcome of each."""

    def __init__(self, policy: GuardPolicy) -> None:
        self._policy = policy
        self.layers: list[Layer] = []
        self.missing: list[Missing] = []
        self.limits: list[str] = []

    def enter(self, layer: Layer, step: Callable[[], object], *, unless: str = "") -> bool:
        """Run `step`; whether the layer is in force."""
        reason = unless
        if layer not in self._policy.layers:
            reason = _OFF
        try:
            if not reason:
                step()
        except OSError as error:
            reason = " ".join(filter(None, (error.strerror, error.filename))) or str(error)
        except (ValueError, AttributeError, ImportError) as error:  # what Windows and macOS say of what they lack
            reason = str(error)
        if reason:
            self.missing.append(Missing(layer, reason))
        else:
            self.layers.append(layer)
        return not reason


def contain(policy: GuardPolicy, *, on_refusal: int) -> Containment:
    """Put this process under the guard, for good. Call it in a freshly forked child, before any candidate code.

    A layer that the platform lacks is left out and named in the record. The kernel's layers fail closed: where nobody
    can tell an allowed address or path from another, all of them are refused.

    Args:
        policy: what is allowed.
        on_refusal: descriptor of a `Supervisor`'s candidate end.

    Raises:
        CandidateError: this process has more than one thread, or the scratch folder is missing.
    """
    _check(policy)
    inner = msgspec.structs.replace(policy, keep_fds=(*policy.keep_fds, on_refusal))
    ladder = _Ladder(policy)
    closed = _inherit(ladder, inner)
    egress = "the allow-list is not empty" if policy.allow or policy.unix_sockets else ""
    ladder.enter("netns", inherited.leave_network, unless=egress)
    listener = _kernel_layers(ladder, inner, closed=closed)
    audit.answer_names(policy)
    by_kernel = {"landlock", "seccomp"} & set(ladder.layers)
    report = functools.partial(_send, on_refusal, os.fstat(on_refusal).st_ino)
    ladder.enter("audit", lambda: audit.install(policy, report, files_by_kernel=bool(by_kernel)))
    containment = Containment(tuple(ladder.layers), tuple(ladder.missing), tuple(ladder.limits), closed)
    _announce(containment, on_refusal, listener)
    return containment


def _check(policy: GuardPolicy) -> None:
    if not os.path.isdir(policy.scratch):
        raise CandidateError(f"The scratch folder {policy.scratch!r} does not exist. Make it before contain().")
    with suppress(OSError):
        threads = os.stat("/proc/self/task").st_nlink - 2
        if threads > 1:
            raise CandidateError(
                f"contain() was called in a process with {threads} threads; the kernel would leave the others outside. "
                "Call it right after fork, before any thread is started."
            )


def _inherit(ladder: _Ladder, policy: GuardPolicy) -> tuple[tuple[int, str], ...]:
    parent, closed = os.getppid(), list[tuple[int, str]]()
    named = bool(native_numbers())
    ladder.enter("descriptors", lambda: closed.extend(inherited.close_inherited(policy.keep_fds, named=named)))
    if len(closed) > inherited.MAX_NAMED:
        ladder.limits.append(f"{len(closed) - inherited.MAX_NAMED} inherited descriptors are closed, but not named")

    def limits() -> None:
        inherited.cap_memory(policy)
        inherited.die_with_parent(parent)
        inherited.let_parent_look()

    ladder.enter("limits", limits)
    return tuple(closed)


def _kernel_layers(ladder: _Ladder, policy: GuardPolicy, *, closed: tuple[tuple[int, str], ...]) -> int:
    """Landlock, then the filter; the listener's descriptor or -1."""
    version = 0

    def restrict() -> None:
        nonlocal version
        offered = landlock.abi()
        landlock.restrict(policy, offered)
        version = offered

    ladder.enter("landlock", restrict)
    if 0 < version < 4:
        ladder.limits.append(f"Landlock version {version} knows no ports")
    if "seccomp" not in policy.layers or not native_numbers():
        reason = _OFF if native_numbers() else f"no seccomp on {sys.platform} {platform.machine()}"
        without = _OFF if "notify" not in policy.layers else "it is a part of seccomp"
        ladder.missing += [Missing("seccomp", reason), Missing("notify", without)]
        return -1
    listener = -1
    numbers = tuple(number for number, _ in closed[: inherited.MAX_NAMED])

    def asking() -> None:
        nonlocal listener
        mine = rules.own_rules(policy.keep_fds, numbers)
        listener = seccomp.install(seccomp.program(mine, seccomp.ASK, tail=seccomp.common_part()), ask=True)

    if ladder.enter("notify", asking, unless=seccomp.ask_available()):
        ladder.layers.insert(-1, "seccomp")
        return listener
    every = rules.own_rules(policy.keep_fds, ()) | rules.common_rules()
    plain = rules.unasked(every, ports=bool(policy.allow) and version >= 4, landlock=version > 0)
    refuse = seccomp.refuse_with(errno.EPERM)
    code = seccomp.program({}, refuse, tail=seccomp.compiled_tail(plain, refuse))
    ladder.enter("seccomp", lambda: seccomp.install(code, ask=False))
    ladder.limits += _unasked_limits(policy, version)
    return -1


def _unasked_limits(policy: GuardPolicy, version: int) -> list[str]:
    """What is refused although the policy allows it, or let through by port alone, when nobody can be asked."""
    limits: list[str] = []
    if not version:
        limits.append(
            "nothing can be written, scratch folder included: neither notify nor Landlock can tell paths apart"
        )
    if policy.allow:
        by_port = version >= 4
        limits.append(
            "the allow-list holds by port, not by host" if by_port else "no egress at all, allow-list included"
        )
    if policy.unix_sockets:
        limits.append("no Unix sockets, allow-list included")
    return limits


def _announce(containment: Containment, channel: int, listener: int) -> None:
    end = socket.socket(fileno=channel)  # the very number: the filter lets no other one send descriptors
    try:
        socket.send_fds(end, [msgspec.msgpack.encode(containment)], [listener] if listener >= 0 else [])
    finally:
        end.detach()
    if listener >= 0:
        os.close(listener)


def _send(channel: int, inode: int, refusal: Refusal) -> None:
    """Tell the supervisor. The channel's number may have been closed by the candidate and be another file by now."""
    with suppress(OSError):
        if os.fstat(channel).st_ino == inode:
            os.write(channel, msgspec.msgpack.encode(refusal))
