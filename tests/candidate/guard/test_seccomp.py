"""The filter, run by a small interpreter of classic BPF, against the rules read by plain Python."""

from __future__ import annotations

import os
import platform
import struct
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.candidate.guard import rules, seccomp
from shadoweval.candidate.guard.syscalls import AUDIT_ARCH, native_numbers

if not native_numbers():
    pytest.skip(f"no filter for {sys.platform} {platform.machine()}", allow_module_level=True)

KEEP = (5, 6)
NUMBERS = native_numbers()
SMALL = st.integers(0, 12)
ARGUMENT = st.one_of(
    SMALL,
    st.sampled_from([255, 256, 300, os.getpid(), os.O_WRONLY, os.O_CREAT, 0x10000, 1 << 40]),
    st.integers(0, 2**64 - 1),
)


def run(code: bytes, number: int, arch: int, arguments: list[int]) -> int:
    """What the kernel would answer (Documentation/networking/filter.rst: load, and, jump, compare, return)."""
    memory = struct.pack("=iIQ6Q", number, arch, 0, *arguments)
    lines, position, accumulator = [*struct.iter_unpack("=HBBI", code)], 0, 0
    while True:
        kind, hit, miss, value = lines[position]
        position += 1
        if kind == 0x06:
            return value
        if kind == 0x20:
            accumulator = struct.unpack_from("=I", memory, value)[0]
        elif kind == 0x54:
            accumulator &= value
        elif kind == 0x05:
            position += value
        else:
            position += hit if (accumulator == value if kind == 0x15 else accumulator >= value) else miss


def matches(test, arguments: list[int]) -> bool:
    """One test, read plainly."""
    word = arguments[test.argument] >> 32 if test.high else arguments[test.argument] & 0xFFFFFFFF
    return ((word & test.mask) in test.values) != test.negate


def expected(own, common, *, name: str, arguments: list[int]) -> int:
    tests = own.get(name, common.get(name))
    if name in rules.NO_SUCH_CALL:
        return seccomp.refuse_with(38)
    if tests is None:
        return seccomp.ALLOW
    return seccomp.ASK if not tests or any(matches(test, arguments) for test in tests) else seccomp.ALLOW


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(NUMBERS)), st.lists(ARGUMENT, min_size=6, max_size=6), st.booleans())
def test_filter_says_what_the_rules_say(name, arguments, inherited):
    """For any call and any arguments the compiled filter answers as the rules do when read one by one."""
    own = rules.own_rules(KEEP, inherited=inherited)
    code = seccomp.program(own, seccomp.ASK, tail=seccomp.common_part())
    answer = run(code, NUMBERS[name], AUDIT_ARCH[platform.machine()], arguments)
    assert answer == expected(own, rules.common_rules(), name=name, arguments=arguments)


@given(st.integers(0, 500))
def test_other_calls_are_left_alone(number):
    """A call that no rule names is allowed."""
    code = seccomp.program(rules.own_rules(KEEP, inherited=True), seccomp.ASK, tail=seccomp.common_part())
    if number not in NUMBERS.values():
        assert run(code, number, AUDIT_ARCH[platform.machine()], [0] * 6) == seccomp.ALLOW


def test_foreign_calls_are_refused():
    """Another architecture's numbers, and x32's, mean other calls; all of them are refused."""
    code = seccomp.program(rules.own_rules(KEEP, inherited=True), seccomp.ASK, tail=seccomp.common_part())
    assert run(code, 0, 0x40000003, [0] * 6) == seccomp.ASK
    assert run(code, 0x40000000, AUDIT_ARCH[platform.machine()], [0] * 6) == seccomp.ASK


def test_filter_fits_into_the_kernel():
    """BPF_MAXINSNS is 4096."""
    code = seccomp.program(rules.own_rules(tuple(range(100)), inherited=True), seccomp.ASK, tail=seccomp.common_part())
    assert len(code) // 8 < 4096


@pytest.mark.parametrize(("landlock", "ports"), [(False, False), (True, False), (True, True)])
def test_nothing_is_asked_without_a_supervisor(landlock, ports):
    """Without anyone to ask, the filter never says `ask`; files are left to Landlock only where there is one."""
    plain = rules.unasked(rules.own_rules((), inherited=False) | rules.common_rules(), ports=ports, landlock=landlock)
    refuse = seccomp.refuse_with(1)
    code = seccomp.program({}, refuse, tail=seccomp.compiled_tail(plain, refuse))
    arch = AUDIT_ARCH[platform.machine()]
    answers = {name: run(code, number, arch, [os.O_CREAT | os.O_WRONLY] * 6) for name, number in NUMBERS.items()}
    assert seccomp.ASK not in answers.values()
    assert (answers["mkdirat"] == refuse) is not landlock
    assert (answers["connect"] == refuse) is not ports
    assert answers["fchmodat"] == answers["execve"] == answers["fchmod"] == answers["fork"] == refuse
    assert answers["clone"] == answers["kill"] == seccomp.ALLOW


def test_a_child_without_a_supervisor_starts_and_signals_nobody():
    """What a fork server does itself where nobody is asked, its children are refused: processes, and signals."""
    refuse = seccomp.refuse_with(1)
    code = seccomp.program({}, refuse, tail=seccomp.compiled_tail(rules.unasked_in_child(), refuse))
    arch, number = AUDIT_ARCH[platform.machine()], NUMBERS
    assert run(code, number["clone"], arch, [17, 0, 0, 0, 0, 0]) == refuse
    assert run(code, number["clone"], arch, [0x10000, 0, 0, 0, 0, 0]) == seccomp.ALLOW
    assert run(code, number["kill"], arch, [os.getppid(), 9, 0, 0, 0, 0]) == refuse
    assert run(code, number["kill"], arch, [os.getpid(), 9, 0, 0, 0, 0]) == seccomp.ALLOW
