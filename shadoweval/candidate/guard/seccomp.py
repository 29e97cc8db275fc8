"""Build and install a seccomp-BPF filter, by ctypes alone.

Sources: `Documentation/userspace-api/seccomp_filter.rst` and `include/uapi/linux/{filter,seccomp}.h` of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Mapping
from functools import cache

from shadoweval.candidate.guard.rules import NO_SUCH_CALL, Match, common_rules
from shadoweval.candidate.guard.syscalls import AUDIT_ARCH, libc, native_numbers, syscall

__all__ = ["ASK", "ask_available", "common_part", "install", "program", "refuse"]

ALLOW, ASK = 0x7FFF0000, 0x7FC00000  # SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF
_ERRNO = 0x00050000
_LOAD, _AND, _JUMP, _EQUAL, _NOT_BELOW, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x06
_LEAF = 4  # rules tried one after the other
_SET_MODE_FILTER, _GET_ACTION_AVAIL = 1, 2
_NEW_LISTENER, _WAIT_KILLABLE = 1 << 3, 1 << 5
_NO_NEW_PRIVS = 38
_X32_BIT = 0x40000000
_CONTINUE_SINCE = (5, 5)  # SECCOMP_USER_NOTIF_FLAG_CONTINUE

_LINE = 8  # bytes of one struct sock_filter


def refuse_with(code: int) -> int:
    """The filter's answer that makes the call fail with errno `code`."""
    return _ERRNO | code


def _line(code: int, value: int, *, hit: int = 0, miss: int = 0) -> bytes:
    return struct.pack("=HBBI", code, hit, miss, value & 0xFFFFFFFF)


@cache
def _test(test: Match, action: int) -> bytes:
    """Load one argument, return `action` on a match, fall through otherwise."""
    code = _line(_LOAD, 16 + 8 * test.argument + (4 if test.high else 0))
    if test.mask != 0xFFFFFFFF:
        code += _line(_AND, test.mask)
    last = len(test.values) - 1
    for index, value in enumerate(test.values):
        miss = 1 if index == last and not test.negate else 0
        code += _line(_EQUAL, value, hit=last - index + (1 if test.negate else 0), miss=miss)
    return code + _line(_RETURN, action)


def _rule(number: int, tests: Iterable[Match], action: int) -> bytes:
    body = b"".join(_test(test, action) for test in tests)
    body += _line(_RETURN, ALLOW if body else action)
    return _line(_EQUAL, number, miss=len(body) // _LINE) + body


def program(rules: Mapping[str, tuple[Match, ...]], action: int, *, tail: bytes) -> bytes:
    """The whole filter as an array of `struct sock_filter`: `rules`, then what `compiled_tail` made before.

    Other architectures' calls and x32 calls are refused whole.
    """
    known, refuse = native_numbers(), _line(_RETURN, action)
    code = [_line(_LOAD, 4), _line(_EQUAL, AUDIT_ARCH[platform.machine()], hit=1), refuse]
    code += [_line(_LOAD, 0), _line(_NOT_BELOW, _X32_BIT, miss=1), refuse]
    code += [_rule(known[name], (), refuse_with(errno.ENOSYS)) for name in NO_SUCH_CALL]
    code += [_rule(known[name], tests, action) for name, tests in rules.items() if name in known]
    return b"".join((*code, tail))


def compiled_tail(rules: Mapping[str, tuple[Match, ...]], action: int) -> bytes:
    """The last part of a filter, as a search tree: the kernel runs it for every call there is when it is installed."""
    known = native_numbers()
    numbered = sorted((known[name], tests) for name, tests in rules.items() if name in known)
    return _tree([(number, _rule(number, tests, action)) for number, tests in numbered])


def _tree(rules: list[tuple[int, bytes]]) -> bytes:
    if len(rules) <= _LEAF:
        return b"".join((*(code for _, code in rules), _line(_RETURN, ALLOW)))
    middle = len(rules) // 2
    low, high = _tree(rules[:middle]), _tree(rules[middle:])
    return _line(_NOT_BELOW, rules[middle][0], miss=1) + _line(_JUMP, len(low) // _LINE) + low + high


@cache
def common_part() -> bytes:
    """What is alike in every candidate that a supervisor watches."""
    return compiled_tail(common_rules(), ASK)


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
    fprog = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(code) // _LINE, ctypes.addressof(array)))
    flags = (_NEW_LISTENER | _WAIT_KILLABLE, _NEW_LISTENER) if ask else (0,)
    for flag in flags[:-1]:
        try:
            return syscall("seccomp", _SET_MODE_FILTER, flag, fprog)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return syscall("seccomp", _SET_MODE_FILTER, flags[-1], fprog)


def refuse(rules: Mapping[str, tuple[Match, ...]]) -> None:
    """Install `rules` where nobody is asked: what they match fails with EPERM.

    Raises:
        OSError: the kernel takes no filter.
    """
    action = refuse_with(errno.EPERM)
    install(program({}, action, tail=compiled_tail(rules, action)), ask=False)
