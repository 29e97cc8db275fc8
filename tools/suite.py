"""Run the tests; what failed beside others runs once more, by itself: `python tools/suite.py [--silence SECONDS] ...`.

Thousands of tests, many with processes of their own, share a machine that others use too: in one run of several, some
test meets a moment that nobody thought of. As CPython's own runner does (`regrtest --rerun`), up to `MOST` tests that
failed run again, one after the other in a new process. What fails again fails the run; what passes is named at the end,
to be mended: a test that needs the second run is a fault, of the test or of ours. A test process that is gone, an error
of collection and more failures than `MOST` fail the run at once. Each run is watched as `tools/watchdog.py` says; the
other arguments are pytest's.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import watchdog

MOST = 5
RUN = "--run-and-write"


class Failures:
    """A plugin for the process that collects the reports of all: which tests failed, and whether no more is known."""

    def __init__(self) -> None:
        """Nothing failed yet."""
        self.names: dict[str, None] = {}
        self.more = False

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remember what failed, whichever process ran it."""
        if report.failed:
            self.names[report.nodeid] = None

    def pytest_collectreport(self, report: Any) -> None:
        """What can't be collected can't be run again."""
        self.more |= report.failed

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object) -> None:
        """A test process that is gone (pytest-xdist) took tests along."""
        self.more |= bool(error)


def run_and_write(file: Path, arguments: list[str]) -> int:
    """Run pytest in this process and write the names of what failed, where these are all; pytest's exit code."""
    sys.path[0] = str(Path.cwd())  # as `python -m pytest` does
    failures = Failures()
    code = pytest.main(arguments, plugins=[failures])
    if not failures.more:
        file.write_text(json.dumps(list(failures.names)), encoding="utf-8")
    return int(code)


def run(arguments: list[str], *, silence: float) -> int:
    """Run the tests, and once more what failed; pytest's exit code, or the watchdog's."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "failures.json")
        command = [sys.executable, __file__, RUN, str(file), *arguments, "-o", f"cache_dir={folder}/cache"]
        code = watchdog.watch(command, silence=silence)
        names = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
        if code != 1 or not 0 < len(names) <= MOST:
            return code
        print(f"\nsuite: {len(names)} failed; once more, by themselves:", *names, sep="\n  ", flush=True)
        code = watchdog.watch([*command, "-n", "0", "--dist", "no", "--last-failed"], silence=silence)
    if code == 0:
        print("\nsuite: failed beside others and passed by themselves, to be mended:", *names, sep="\n  ", flush=True)
    return code


def main(arguments: list[str]) -> int:
    """Parse the option and run the rest with this very interpreter."""
    if arguments[:1] == [RUN]:
        return run_and_write(Path(arguments[1]), arguments[2:])
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--silence", type=float, default=420.0, help="seconds without output that mean: it hangs")
    options, rest = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that what runs is ended too
    return run(rest, silence=options.silence)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
