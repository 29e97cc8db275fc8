"""The system call table against the C headers."""

from __future__ import annotations

import pathlib
import re

import pytest

from shadoweval.candidate.guard.rules import INHERITABLE, KIND, NO_SUCH_CALL, OPENS, PATHS
from shadoweval.candidate.guard.syscalls import call_numbers

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"),
    "aarch64": ("/usr/include/asm-generic/unistd.h",),
}


def header(machine):
    """Name to number as the kernel's header has it; aarch64 uses the generic one."""
    for path in map(pathlib.Path, HEADERS[machine]):
        if path.exists():
            definitions = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())
            return {name: int(number) for name, number in definitions}
    pytest.skip(f"no C headers for {machine} here")


@pytest.mark.parametrize("machine", HEADERS)
def test_numbers_are_the_kernels(machine):
    """Every number that the installed headers know is theirs; newer calls have one number on all architectures."""
    known, ours = header(machine), call_numbers(machine)
    assert {name: number for name, number in ours.items() if known.get(name, number) != number} == {}
    assert all(number >= 424 for name, number in ours.items() if name not in known)
    assert len(ours) > 120


@pytest.mark.parametrize("machine", HEADERS)
def test_every_guarded_call_has_a_number(machine):
    """A name in the rules that no table knows would silently not be guarded."""
    gone = set() if machine == "x86_64" else set(header("x86_64")) - set(header(machine))
    assert {*KIND, *PATHS, *OPENS, *INHERITABLE, *NO_SUCH_CALL} - set(call_numbers(machine)) <= gone


def test_unknown_machines_have_no_table():
    """A machine without a table gets no filter rather than a wrong one."""
    assert call_numbers("riscv64") == {}
