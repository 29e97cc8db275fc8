"""From the kill to the last mirrored call, and to the end of what is in flight in a worker.

A process makes mirrored calls in three busy threads and in an event loop of four tasks. It is killed by itself, by the
command (`shadoweval kill NAME`, run here so that starting Python is not measured) and by a flag file; and resumed.
Times are from before the kill is written to the last frame that was handed over. A worker's candidate computes for
ever; there, the time is to the end of its process.
"""

import argparse
import contextlib
import io
import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.mirror_processes import Worker, start_python, tree
from benchmarks.mirror_rate import shadowing
from benchmarks.mirror_tables import Goals
from benchmarks.mirror_worker import cpu_seconds
from shadoweval.cli.parser import main as command

__all__ = ["kill"]

NAME = "benchmark"
QUIET = 0.15
PATIENCE = 20.0
ENDS = 20
LIMITS = {"in process": 50.0, "command": 250.0, "flag file": 250.0}


def _command(home: Path, do: str, name: str = NAME) -> int:
    """What `shadoweval DO NAME` does, and when it began."""
    os.environ["SHADOWEVAL_HOME"] = str(home)
    began = time.monotonic_ns()
    with contextlib.redirect_stdout(io.StringIO()):
        command([do, name, "--reason", "benchmark", "--force"])
    return began


class Load:
    """The process under load."""

    def __init__(self, home: Path, flags: Path | None) -> None:
        home.mkdir(parents=True, exist_ok=True)
        environment = {"SHADOWEVAL_HOME": str(home), **({"SHADOWEVAL_FLAGS": str(flags)} if flags else {})}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.running = start_python("-m", "benchmarks.mirror_load", NAME, env=environment, **pipes)

    def ask(self, do: str) -> dict[str, int]:
        assert self.running.stdin is not None
        assert self.running.stdout is not None
        self.running.stdin.write(do + "\n")
        self.running.stdin.flush()
        return json.loads(self.running.stdout.readline())

    def quiet(self) -> dict[str, int]:
        """Wait until nothing is mirrored any more."""
        told = self.ask("say")
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            time.sleep(QUIET)
            before, told = told, self.ask("say")
            if before["count"] == told["count"]:
                return told
        raise SystemExit("It still mirrors after the kill.")

    def flows(self) -> dict[str, int]:
        """Wait until calls are mirrored."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            told = self.ask("say")
            if told["first"]:
                return told
            time.sleep(0.005)
        raise SystemExit("It does not mirror after the resume.")


def _flag(path: Path, *, killed: bool) -> int:
    began = time.monotonic_ns()
    beside = path.with_suffix(".new")
    beside.write_text(f"kill = {'true' if killed else 'false'}\n[experiments.{NAME}]\nenabled = true\nshare = 1.0\n")
    beside.replace(path)
    return began


Switch = Callable[[str], int]


@contextlib.contextmanager
def _loaded(way: str, folder: Path) -> Iterator[tuple[Load, Switch]]:
    """A loaded process and how to kill and resume it; both say when they began."""
    home = folder / way.replace(" ", "-")
    home.mkdir()
    flags = home / "flags.toml" if way == "flag file" else None
    if flags:
        _flag(flags, killed=False)
    load = Load(home, flags)

    def switch(do: str) -> int:
        if way == "in process":
            return load.ask(do)["began"]
        if do == "resume":
            load.ask("forget")
        if flags:
            return _flag(flags, killed=do == "kill")
        return _command(home, do)

    try:
        load.flows()
        yield load, switch
    finally:
        load.running.kill()
        load.running.communicate()


def _repeated(way: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Milliseconds of each kill and each resume."""
    found: dict[str, list[float]] = {"kill": [], "resume": []}
    rng = random.Random(5)
    with _loaded(way, options.folder) as (load, switch):
        for _ in range(options.kills):
            time.sleep(rng.uniform(0.05, 0.25))  # looks at files come every 100 ms: meet them anywhere in between
            began = switch("kill")
            found["kill"].append(max(load.quiet()["last"] - began, 0) / 1e6)
            began = switch("resume")
            found["resume"].append(max(load.flows()["first"] - began, 0) / 1e6)
    return found


def _spinning(pid: int) -> int:
    """A process under `pid` that computes; waits for it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        before = {each: cpu_seconds([each]) for each in tree(pid)[1:]}
        time.sleep(0.2)
        for each, had in before.items():
            if cpu_seconds([each]) - had > 0.05:
                return each
    raise SystemExit("No candidate runs.")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def _in_flight(options: argparse.Namespace) -> list[float]:
    """Milliseconds until a worker's run is ended; resumed, it begins again."""
    home, found = options.folder / "worker", []
    name = "benchmark-hanging"
    with shadowing(home, target="hanging") as running:
        target = Worker("mirror, hanging", sink=options.sink, folder=home / "t", env={"SHADOWEVAL_HOME": str(home)})
        target.run(workload="rag", count=20)
        for _ in range(ENDS):
            pid = _spinning(running.pid)
            began = _command(home, "kill", name)
            while _alive(pid) and time.monotonic_ns() - began < PATIENCE * 1e9:
                time.sleep(0.001)
            found.append((time.monotonic_ns() - began) / 1e6)
            _command(home, "resume", name)
        _command(home, "kill", name)
        target.close()
    return found


def _show(title: str, times: list[float]) -> dict[str, float]:
    times = sorted(times)
    row = {"p50": statistics.median(times), "p95": times[int(0.95 * len(times))], "most": times[-1], "n": len(times)}
    print(f"  {title:<28}{row['p50']:>9.1f}{row['p95']:>9.1f}{row['most']:>9.1f}{len(times):>7}")
    return row


def kill(_: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Each way to kill, then the worker."""
    results: dict[str, Any] = {}
    _command(options.folder / "before", "resume")  # what the command imports is not part of a kill
    print(f"\nmilliseconds to the last mirrored call\n  {'':<28}{'p50':>9}{'p95':>9}{'most':>9}{'times':>7}")
    for way in LIMITS:
        for what, times in _repeated(way, options).items():
            results[f"{what}, {way}"] = _show(f"{what}, {way}", times)
    results["in flight"] = _show("run in a worker ended", _in_flight(options))
    for way, most in LIMITS.items():
        for what in ("kill", "resume"):
            goals.check("kill", f"{what}, {way}: longest of all, ms", results[f"{what}, {way}"]["most"], most=most)
    goals.check("kill", "run in a worker ended: longest of all, ms", results["in flight"]["most"], most=1000.0)
    return results
