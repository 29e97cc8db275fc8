"""Enter the guard: the ladder of layers, in the only order that works, and a record of what is in force.

A fork server enters before it imports anything of the user (`contain`); what it forks narrows itself (`Guard.narrow`).
"""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH112, PTH116

from __future__ import annotations

import importlib
import os
import platform
import socket
import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress

import msgspec

from shadoweval.candidate.guard import audit, inherited, landlock, reports, rules, seccomp
from shadoweval.candidate.guard.policy import ALL_LAYERS, Containment, GuardPolicy, Layer, Missing
from shadoweval.candidate.guard.syscalls import libc, native_numbers
from shadoweval.errors import CandidateError
from shadoweval.records import Refusal

__all__ = ["Guard", "contain"]

_OFF = "switched off by the policy"


class _Ladder:
    """Tries layers and remembers the outcome of each."""

    def __init__(self, policy: GuardPolicy) -> None:
        self._policy = policy
        self.layers: set[Layer] = set()
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
            self.layers.add(layer)
        return not reason

    def containment(self, closed: tuple[tuple[int, str], ...]) -> Containment:
        layers: tuple[Layer, ...] = tuple(layer for layer in ALL_LAYERS if layer in self.layers)
        missing = sorted(self.missing, key=lambda entry: ALL_LAYERS.index(entry.layer))
        return Containment(layers, tuple(missing), tuple(self.limits), closed)


class Guard:
    """The guard of this process and of everything that is forked from it; made by `contain`.

    A fork server calls `begin_serving` when it has imported everything, and forks within `forking`; a child calls
    `close_inherited` and then `narrow`.
    """

    def __init__(self, policy: GuardPolicy, channel: int) -> None:
        self._policy, self.channel = policy, channel
        self._inode = os.fstat(channel).st_ino
        self._ladder = _Ladder(policy)
        self._landlock = 0
        self._closed: tuple[tuple[int, str], ...] = ()
        self._checks = audit.Checks(policy, self._report)
        self._listener = -1

    @property
    def kernel(self) -> bool:
        """Whether a child can start no process, whoever of its code tries."""
        return "seccomp" in self._ladder.layers

    @property
    def supervised(self) -> bool:
        """Whether a supervisor is asked."""
        return "notify" in self._ladder.layers

    def enter(self) -> None:
        """All layers that hold the fork server; their order is the only one that works."""
        policy, ladder = self._policy, self._ladder
        if "descriptors" in policy.layers and native_numbers():
            why = inherited.occupy_low_numbers()
            ladder.limits += [f"inherited descriptors are closed, but not named: {why}"] if why else []
        egress = "the allow-list is not empty" if policy.allow or policy.unix_sockets else ""
        ladder.enter("netns", inherited.leave_network, unless=egress)
        self._enter_kernel_layers()
        audit.answer_names(policy)
        by_kernel = bool({"landlock", "seccomp"} & ladder.layers)
        ladder.enter("audit", lambda: audit.install(self._checks, files_by_kernel=by_kernel))
        self._announce()

    def _enter_kernel_layers(self) -> None:
        """Landlock, then the filter."""
        policy, ladder = self._policy, self._ladder

        def restrict() -> None:
            offered = landlock.abi()
            landlock.restrict(policy, offered)
            self._landlock = offered

        ladder.enter("landlock", restrict)
        if 0 < self._landlock < 4:
            ladder.limits.append(f"Landlock version {self._landlock} knows no ports")
        if "seccomp" not in policy.layers or not native_numbers():
            reason = _OFF if native_numbers() else f"no seccomp on {sys.platform} {platform.machine()}"
            without = _OFF if "notify" not in policy.layers else "it is a part of seccomp"
            ladder.missing += [Missing("seccomp", reason), Missing("notify", without)]
            return

        def asking() -> None:
            mine = rules.own_rules((*policy.keep_fds, self.channel), inherited=True)
            self._listener = seccomp.install(seccomp.program(mine, seccomp.ASK, tail=seccomp.common_part()), ask=True)

        if ladder.enter("notify", asking, unless=seccomp.ask_available()):
            ladder.layers.add("seccomp")
            return
        every = rules.own_rules((), inherited=False) | rules.common_rules()
        plain = rules.unasked(every, ports=bool(policy.allow) and self._landlock >= 4, landlock=self._landlock > 0)
        ladder.enter("seccomp", lambda: seccomp.refuse(plain))
        ladder.limits += _unasked_limits(policy, self._landlock)

    def close_inherited(self, keep: Iterable[int]) -> None:
        """In a child, first: close what it has of its parent but `keep`."""
        keep = (*keep, self.channel)

        def step() -> None:
            self._closed = inherited.close_inherited(keep, named=bool(native_numbers()))

        self._ladder.enter("descriptors", step)

    def narrow(self, policy: GuardPolicy, *, loading: bool = False) -> Containment:
        """In a child, before any candidate code: hold to `policy`, which must allow no more than the server's.

        `loading`: it imports the candidate itself, and calls `loaded` when it has.

        Raises:
            OSError: a layer that holds the fork server can't be narrowed. Then nothing may run here.
        """
        ladder = self._ladder
        parent = os.getppid()

        def limits() -> None:
            inherited.cap_memory(policy)
            inherited.die_with_parent(parent)
            inherited.let_parent_look()

        ladder.enter("limits", limits)
        if "landlock" in ladder.layers:
            landlock.restrict(policy, self._landlock)
        if "seccomp" in ladder.layers and not self.supervised:
            seccomp.refuse(rules.unasked_in_child())
        self._checks.narrow(policy)
        containment = ladder.containment(self._closed)
        self._say(msgspec.structs.replace(containment, loading=loading))
        return containment

    def loaded(self) -> None:
        """In a child that imported for itself: what is refused from now on is a run's doing."""
        self._say(self._ladder.containment(self._closed))

    def begin_serving(self) -> None:
        """In a fork server that has imported everything: forks are asked for by messages from now on.

        Threads that the import left behind lose the connections that it was allowed. One low number is free for the
        descriptor that comes with each message.
        """
        inherited.cut_connections()
        inherited.free_lowest_number()

    @contextmanager
    def forking(self) -> Generator[None]:
        """While this process forks a child of its own."""
        self._checks.forking = True
        try:
            yield
        finally:
            self._checks.forking = False

    def _announce(self) -> None:
        """The record, with the listener; the very number of the channel: the filter lets no other send descriptors."""
        end = socket.socket(fileno=self.channel)
        listener = [self._listener] if self._listener >= 0 else []
        try:
            socket.send_fds(end, [reports.message(self._ladder.containment(()))], listener)
        finally:
            end.detach()
            if listener:  # ours alone, if nobody took it: whatever is asked from now on would wait for ever
                os.close(self._listener)

    def _say(self, record: Containment | Refusal) -> None:
        os.write(self.channel, reports.message(record))

    def _report(self, refusal: Refusal) -> None:
        """Tell the supervisor, unless the candidate closed the channel and its number is another file's by now."""
        with suppress(OSError):
            if os.fstat(self.channel).st_ino == self._inode:
                self._say(refusal)


def contain(policy: GuardPolicy, *, on_refusal: int) -> Guard:
    """Put this process, and all that it will fork, under the guard, for good; before it imports any foreign code.

    A layer that the platform lacks is left out and named in the record. The kernel's layers fail closed: where nobody
    can tell an allowed address or path from another, all of them are refused.

    Args:
        policy: what is allowed.
        on_refusal: descriptor of a `Supervisor`'s candidate end.

    Raises:
        CandidateError: this process has more than one thread, or the scratch folder is missing.
    """
    _check(policy)
    for module in ("array", "resource"):  # what a child would load again
        with suppress(ImportError):
            importlib.import_module(module)
    if native_numbers():
        _ = libc().prctl  # looked up once, then kept by ctypes
        inherited.let_parent_look()
    guard = Guard(policy, on_refusal)
    guard.enter()
    return guard


def _check(policy: GuardPolicy) -> None:
    if not os.path.isdir(policy.scratch):
        raise CandidateError(f"The scratch folder {policy.scratch!r} does not exist. Make it before contain().")
    with suppress(OSError):
        threads = os.stat("/proc/self/task").st_nlink - 2
        if threads > 1:
            raise CandidateError(
                f"contain() was called in a process with {threads} threads; the kernel would leave the others outside. "
                "Call it first thing in the process, before any thread is started."
            )


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
