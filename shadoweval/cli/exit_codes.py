"""What each command's exit code means: the one table, from which `--help` and docs/command-line.md are held."""

from __future__ import annotations

__all__ = ["CANNOT", "COMMON", "EXIT_CODES", "INTERRUPTED", "sentence"]

CANNOT = 4
"""Whatever the command: it can't be carried out, or its arguments can't be understood."""
INTERRUPTED = 130
COMMON = {
    CANNOT: "can't be carried out: stderr says why and how to mend it",
    INTERRUPTED: "interrupted (Ctrl-C)",
}
"""Of every command, beside its own."""

_VERDICT = {0: "promote", 1: "rollback", 2: "held by an error", 3: "undecided"}

EXIT_CODES = {
    "init": {0: "written"},
    "demo": {0: "both verdicts came out as they must"},
    "doctor": {0: "nothing is wrong", 1: "something is"},
    "compare": _VERDICT,
    "worker": {0: "stopped, or nothing is left to do"},
    "kill": {0: "killed"},
    "resume": {0: "running again"},
    "evaluate": _VERDICT,
    "report": {0: "written"},
    "explain": {0: "said"},
    "calibrate": {0: "the incumbent agrees with itself", 1: "some metric differs beyond chance"},
    "simulate": {0: "simulated"},
    "rescore": {0: "done", 2: "a scorer failed at some pairs", 3: "there are no pairs"},
    "schedule": {
        0: "stopped, shown, or (--once) nothing was due or the verdict promotes",
        1: "(--once) rollback",
        2: "(--once) held by an error",
        3: "(--once) undecided",
    },
    "status": {0: "well", 1: "there is an alarm", 3: "nothing was ever mirrored into this home"},
    "alerts": {0: "nothing is owed (test: all took it)", 1: "something is (one did not)"},
    "drill": {0: "all that should have seen the failure did", 1: "something did not"},
    "export": {0: "written", 3: "there are no pairs"},
    "labels": {0: "joined"},
    "erase": {0: "erased"},
    "purge": {0: "purged"},
}
"""Command -> exit code -> what it says."""


def sentence(command: str) -> str:
    """What stands at the end of the command's help."""
    codes = ", ".join(f"{code} {meaning}" for code, meaning in (EXIT_CODES[command] | COMMON).items())
    return f"Exit codes: {codes}."
