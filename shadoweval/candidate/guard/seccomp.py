"""Build and install a seccomp-BPF filter, by ctypes alone.

Sources: `Documentation/userspace-api/seccomp_filter.rst` and `include/uapi/linux/{filter,seccomp}.h` of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import platform
import struct
from collections.abc import Iterable, Mapping
from functools import cache

from shadoweval.candidate.guard.rules import UNKNOWN, Test, common_rules
from shadoweval.candidate.guard.syscalls import AUDIT_ARCH, libc, native_numbers, syscall

__all__ = ["ALLOW", "ASK", "ask_available", "common_part", "compiled_tail", "install", "program", "refuse_with"]

ALLOW, ASK = 0x7FFF0000, 0x7FC00000  # SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF
_ERRNO = 0x00050000
_LOAD, _AND, _JUMP, _EQUAL, _NOT_BELOW, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_LEAF = 4  # rules tried one after the other
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_NO_NEW_PRIVS = 38
_X32_BIT = 0x40000000
_CONTINUE_SINCE = (5, 5)  # SECCOMP_USER_NOTIF_FLAG_CONTINUE

_Code = tuple[int, int, int, int]


def refuse_with(code: int) -> int:
    """The filter's answer that makes the call fail with errno `code`."""
    return _ERRNO | code


def _test(test: Test, action: int) -> list[_Code]:
    """Load one argument, return `action` on a match, fall through otherwise."""
    code: list[_Code] = [(_LOAD, 0, 0, 16 + 8 * test.argument + (4 if test.high else 0))]
    if test.mask != 0xFFFFFFFF:
        code.append((_AND, 0, 0, test.mask))
    last = len(test.values) - 1
    for place, value in enumerate(test.values):
        to_return = last - place
        miss = 1 if place == last and not test.negate else 0
        code.append((_EQUAL, to_return + (1 if test.negate else 0), miss, value & 0xFFFFFFFF))
    return [*code, (_RETURN, 0, 0, action)]


def _rule(number: int, tests: Iterable[Test], action: int) -> list[_Code]:
    body = [code for test in tests for code in _test(test, action)]
    body.append((_RETURN, 0, 0, ALLOW if body else action))
    return [(_EQUAL, 0, len(body), number), *body]


def program(rules: Mapping[str, tuple[Test, ...]], action: int, *, tail: bytes) -> bytes:
    """The whole filter as an array of `struct sock_filter`: `rules`, then what `compiled_tail` made before.

    Other architectures' calls and x32 calls are refused whole.
    """
    code: list[_Code] = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, AUDIT_ARCH[platform.machine()]), (_RETURN, 0, 0, action)]
    code += [(_LOAD, 0, 0, 0), (_NOT_BELOW, 0, 1, _X32_BIT), (_RETURN, 0, 0, action)]
    code += [line for name in UNKNOWN for line in _rule(native_numbers()[name], (), refuse_with(errno.ENOSYS))]
    return _packed(code) + compiled(rules, action) + tail


def compiled(rules: Mapping[str, tuple[Test, ...]], action: int) -> bytes:
    """A part of a filter that falls through to what follows it."""
    known = native_numbers()
    return _packed(
        [code for name, tests in rules.items() if name in known for code in _rule(known[name], tests, action)]
    )


def compiled_tail(rules: Mapping[str, tuple[Test, ...]], action: int) -> bytes:
    """The last part of a filter, as a search tree: the kernel runs it for every call there is when it is installed."""
    known = native_numbers()
    numbered = sorted((known[name], tests) for name, tests in rules.items() if name in known)
    return _packed(_tree([(number, _rule(number, tests, action)) for number, tests in numbered]))


def _tree(rules: list[tuple[int, list[_Code]]]) -> list[_Code]:
    if len(rules) <= _LEAF:
        return [*(line for _, code in rules for line in code), (_RETURN, 0, 0, ALLOW)]
    middle = len(rules) // 2
    low, high = _tree(rules[:middle]), _tree(rules[middle:])
    return [(_NOT_BELOW, 0, 1, rules[middle][0]), (_JUMP, 0, 0, len(low)), *low, *high]


@cache
def common_part() -> bytes:
    """What is alike in every candidate that a supervisor watches."""
    return compiled_tail(common_rules(), ASK)


def _packed(code: list[_Code]) -> bytes:
    return struct.pack("=" + "HBBI" * len(code), *itertools.chain.from_iterable(code))


@cache
def ask_available() -> str:
    """Why the kernel can't ask a supervisor; empty if it can (Linux 5.5 and a known architecture)."""
    if not native_numbers():
        return f"no Linux of a known architecture: {platform.system()} {platform.machine()}"
    release = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2])
    if release < _CONTINUE_SINCE:
        return f"Linux {platform.release()} is older than 5.5"
    try:
        syscall("seccomp", _GET_ACTION_AVAIL, 0, ctypes.byref(ctypes.c_uint32(ASK)))
    except OSError as error:
        return str(error)
    return ""


def install(code: bytes, *, ask: bool) -> int:
    """Put the calling thread and all it will make under the filter, for good.

    Returns:
        The listener's descriptor if `ask`, else 0.

    Raises:
        OSError: EBUSY if another supervisor listens already (some container runtimes), EINVAL on old kernels.
    """
    if libc().prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    array = ctypes.create_string_buffer(code, len(code))
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(array)))
    flags = (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER) if ask else (0,)
    for flag in flags[:-1]:
        try:
            return syscall("seccomp", _SET_MODE_FILTER, flag, fprog)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return syscall("seccomp", _SET_MODE_FILTER, flags[-1], fprog)
