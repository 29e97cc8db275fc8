"""What a child takes over from its parent: descriptors, its parent's life, memory, the network."""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH115, PTH116, PTH208

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterable

from shadoweval.candidate.guard.policy import GuardPolicy
from shadoweval.candidate.guard.syscalls import libc, syscall

__all__ = [
    "FIRST_INHERITED",
    "PLACEHOLDER",
    "cap_memory",
    "close_inherited",
    "cut_connections",
    "die_with_parent",
    "free_lowest_number",
    "in_use",
    "leave_network",
    "let_parent_look",
    "occupy_low_numbers",
]

# An anonymous file that takes the numbers of inherited descriptors, so that a write through one is seen and named.
PLACEHOLDER = "shadoweval-inherited"
# What is opened before a child is forked gets numbers from here on (a power of two), what the child opens lies below:
# so one filter, installed before either is opened, can tell writes through an inherited descriptor from others.
FIRST_INHERITED = 256
_LEAST_LIMIT = 4 * FIRST_INHERITED  # of RLIMIT_NOFILE: below it numbers are too few to leave a quarter of them free
_PDEATHSIG, _PTRACER, _ANY = 1, 0x59616D61, -1  # PR_SET_PDEATHSIG, PR_SET_PTRACER, PR_SET_PTRACER_ANY
DESCRIPTORS = 1024  # the most that a candidate may have open: the soft limit of nearly every system
# Address space that is reserved but is no memory: thread stacks, malloc arenas, files mapped for reading.
_RESERVED_BYTES = 4 << 30


def _open_descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    return list(range(256))


def _silence(standard: list[int]) -> None:
    device = os.stat(os.devnull).st_rdev
    standard = [number for number in standard if not _is_device(number, device)]
    if not standard:
        return
    null = os.open(os.devnull, os.O_RDWR)
    for number in standard:
        if number != null:
            os.dup2(null, number)
    if null > 2:
        os.close(null)


def _is_device(number: int, device: int) -> bool:
    try:
        return os.fstat(number).st_rdev == device
    except OSError:
        return False


def _placeholder() -> int:
    """A descriptor that nothing can be written through (O_PATH), of a file that is nowhere."""
    memory = os.memfd_create(PLACEHOLDER)
    try:
        return os.open(f"/proc/self/fd/{memory}", os.O_PATH | os.O_CLOEXEC)
    finally:
        os.close(memory)


def occupy_low_numbers() -> str:
    """Put placeholders on all free numbers below `FIRST_INHERITED`, until `close_inherited` frees them in a child.

    Returns:
        Why it can't be done; empty if it is.
    """
    import resource  # noqa: PLC0415 (not on Windows)

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and limit < _LEAST_LIMIT:
        return f"at most {limit} files may be open, and naming inherited ones takes {_LEAST_LIMIT}"
    target = _placeholder()
    while target < FIRST_INHERITED:  # each copy takes the lowest free number
        target = os.dup(target)
    os.close(target)
    return ""


def cut_connections() -> None:
    """End every connection that this process has to somebody outside; pairs of sockets within it stay."""
    for number in _open_descriptors():
        with contextlib.suppress(OSError), socket.socket(fileno=number) as end:
            try:
                if end.getpeername():
                    end.shutdown(socket.SHUT_RDWR)
            finally:
                end.detach()


def free_lowest_number() -> None:
    """Free one number below `FIRST_INHERITED` that `occupy_low_numbers` took."""
    for number in range(3, FIRST_INHERITED):
        with contextlib.suppress(OSError):
            if PLACEHOLDER in os.readlink(f"/proc/self/fd/{number}"):
                os.close(number)
                return


def close_inherited(keep: Iterable[int], *, named: bool) -> tuple[tuple[int, str], ...]:
    """Close every descriptor but `keep`; the other standard streams lead to the null device.

    Args:
        keep: numbers that stay.
        named: put a placeholder in the place of each from `FIRST_INHERITED` on, so that the kernel can tell writes
            through it from others.

    Returns:
        What was replaced, as (number, what it was).
    """
    keep = frozenset(keep)
    start = 3
    for number in sorted({number for number in keep if 3 <= number < FIRST_INHERITED} | {FIRST_INHERITED}):
        os.closerange(start, number)
        start = number + 1
    replaced: list[tuple[int, str]] = []
    for number in sorted(set(_open_descriptors()) - keep):
        if number >= FIRST_INHERITED:
            with contextlib.suppress(OSError):
                replaced.append((number, os.readlink(f"/proc/self/fd/{number}") if named else ""))
                os.close(number)
    _silence([number for number in range(3) if number not in keep])
    if not named or not replaced:
        return ()
    target = _placeholder()
    for number, _ in replaced:
        os.dup2(target, number, inheritable=False)
    os.close(target)
    return tuple(replaced)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that forked it ends; end now if that is past.

    Raises:
        OSError: not Linux.
    """
    if libc().prctl(_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        raise OSError("PR_SET_PDEATHSIG was refused")
    if os.getppid() != parent:
        os._exit(1)


def let_parent_look() -> None:
    """Let the supervisor read the arguments of system calls also where the kernel's Yama module would not."""
    libc().prctl(_PTRACER, _ANY, 0, 0, 0)


def in_use() -> tuple[int, int]:
    """Bytes of address space, and of private writable memory with the stack (fields `size` and `data` of statm)."""
    statm = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        fields = os.read(statm, 200).split()
    finally:
        os.close(statm)
    page = os.sysconf("SC_PAGE_SIZE")
    return int(fields[0]) * page, int(fields[5]) * page


def cap_memory(policy: GuardPolicy) -> None:
    """Cap what is allocated from now on at `policy.memory_bytes`, and each file; no core dumps.

    RLIMIT_DATA counts private writable memory (Linux 4.7 and later); shared memory is bounded by the address space,
    files of memory (memfd_create) by RLIMIT_FSIZE, buffers of sockets and pipes by the number of descriptors.

    Raises:
        OSError: no /proc, so the memory in use is not known.
    """
    import resource  # noqa: PLC0415 (not on Windows)

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if policy.memory_bytes is None:
        return
    space, data = in_use()
    caps = {
        resource.RLIMIT_DATA: data + policy.memory_bytes,
        resource.RLIMIT_AS: space + _RESERVED_BYTES + policy.memory_bytes,
        resource.RLIMIT_FSIZE: policy.memory_bytes,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
    }
    for limit, most in caps.items():
        hard = resource.getrlimit(limit)[1]
        cap = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (cap, cap))


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
