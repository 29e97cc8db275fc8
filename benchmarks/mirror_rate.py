"""The foreground's p99 at a sustained rate on one core, alone and while candidates run there (goal G4).

A call works 100 us and waits three times 200 us; its time counts from its scheduled start. Whatever belongs to a target
(threads, collector, worker, candidates) shares the core while it is its turn. Many short blocks alternate. Three views
of the added p99: of all rounds' calls together; the median over the rounds, each less the bare function's of the same
round; and the second best round less the second best of bare, the most favourable. The bare function runs twice, under
two names: what it adds to itself is the noise floor, and what is smaller can't be told from nothing.
"""

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mirror_processes import Worker, pinned, start_python, tree
from benchmarks.mirror_tables import Goals, Rounds

__all__ = ["NAMES", "candidate", "rate"]

OURS = "mirror, ring"
NAMES = (
    "bare",
    "bare again",
    OURS,
    "mirror, spool",
    "OpenTelemetry",
    "LangSmith",
    "Langfuse",
    "Opik",
    "MLflow",
)
FEW = {"OpenTelemetry": 4, "LangSmith": 4, "Langfuse": 2, "Opik": 1, "MLflow": 1}
"""Rounds of those that add so much that more say nothing more; the last two can't keep the rate at all."""
PEERS = {"OpenTelemetry": 300, "LangSmith": 150}
MOST = 0.1
RESAMPLES = 400


def _rounds(workers: Mapping[str, Worker], options: argparse.Namespace) -> list[dict[str, dict[str, Any]]]:
    """Blocks in turn; each round begins with another target, so that none is always the one after a peer."""
    count = options.rate_calls
    block = {"workload": "rag", "rate": options.rate, "busy": True, "raw": True}
    for worker in workers.values():
        worker.run(**block, count=count // 4)
    steady = [name for name in workers if name not in FEW]
    rounds = []
    for number in range(options.rate_rounds):
        at = number % len(steady)
        turn = [*steady[at:], *steady[:at], *(name for name in workers if number < FEW.get(name, 0))]
        rounds.append({name: workers[name].run(**block, count=count) for name in turn})
    return rounds


def _quantile(rounds: Rounds, name: str, share: float) -> float:
    return float(np.quantile(np.concatenate([one[name]["times"] for one in rounds]), share)) / 1000


def _pooled(rounds: Rounds, name: str, share: float) -> float:
    """Milliseconds that a target adds to a quantile of all calls together."""
    return _quantile(rounds, name, share) - _quantile(rounds, "bare", share)


def compared(rounds: Rounds, name: str) -> dict[str, float]:
    """What a target adds, in milliseconds; the interval is a bootstrap's over rounds, 5 to 95 %."""
    rounds = [one for one in rounds if name in one]
    rng = np.random.default_rng(1)
    drawn = [
        _pooled([rounds[i] for i in rng.integers(len(rounds), size=len(rounds))], name, 0.99) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(drawn, (0.05, 0.95))
    theirs, bare = ([float(np.quantile(one[key]["times"], 0.99)) / 1000 for one in rounds] for key in (name, "bare"))
    second = min(1, len(rounds) - 1)
    return {
        "calls": sum(one[name]["count"] for one in rounds),
        "p50": _pooled(rounds, name, 0.5),
        "p99": _pooled(rounds, name, 0.99),
        "low": float(low),
        "high": float(high),
        "p99 paired": statistics.median(their - its for their, its in zip(theirs, bare, strict=True)),
        "p99 second best": sorted(theirs)[second] - sorted(bare)[second],
        "p99.9": _pooled(rounds, name, 0.999),
        "cpu": statistics.median(one[name]["cpu"] - one["bare"]["cpu"] for one in rounds) * 1e6,
        "lost": sum(one[name]["lost"] for one in rounds) / sum(one[name]["count"] for one in rounds),
    }


def _table(title: str, rounds: Rounds, names: Sequence[str]) -> dict[str, dict[str, float]]:
    numbers = {name: compared(rounds, name) for name in names if name != "bare"}
    bare = " / ".join(f"{_quantile(rounds, 'bare', share):.2f}" for share in (0.5, 0.99, 0.999))
    print(f"\n{title} (bare p50 / p99 / p99.9 {bare} ms)")
    heads = ("calls", "+p50 ms", "+p99 ms", "90 %", "paired", "2nd best", "+p99.9", "+CPU us", "lost %")
    print(f"  {'':<22}" + "".join(f"{head:>{16 if head == '90 %' else 9}}" for head in heads))
    for name, row in numbers.items():
        interval = f"{row['low']:.2f} .. {row['high']:.2f}"
        cells = f"{row['calls']:>9,}{row['p50']:>9.3f}{row['p99']:>9.3f}{interval:>16}{row['p99 paired']:>9.3f}"
        tail = f"{row['p99 second best']:>9.3f}{row['p99.9']:>9.2f}{row['cpu']:>9.0f}{100 * row['lost']:>8.2f}"
        print(f"  {name:<22}{cells}{tail}")
    floor = numbers["bare again"]
    widest = max(abs(floor[key]) for key in ("p99", "p99 paired", "p99 second best"))
    print(f"  noise floor: bare adds up to {widest:.3f} ms to its own p99 ({floor['low']:.2f} .. {floor['high']:.2f})")
    if widest > MOST:
        print(f"  {MOST:g} ms can't be told from noise in this run: repeat it where less else runs")
    return numbers


def _goals(name: str, numbers: Mapping[str, Mapping[str, float]], goals: Goals) -> None:
    row = numbers[name]
    for key, text in (("p99", "all calls"), ("p99 paired", "median of rounds"), ("p99 second best", "second best")):
        goals.check("G4", f"{name}: added p99 in ms, {text}", row[key], most=MOST)


def rate(workers: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Every call mirrored."""
    rounds = _rounds(workers, options)
    numbers = _table(f"rag with work inside, {options.rate:g} calls/s on one core", rounds, list(workers))
    if OURS in numbers:
        _goals(OURS, numbers, goals)
        for peer, times in PEERS.items():
            if peer in numbers:
                ratio = numbers[OURS]["p99 paired"] / numbers[peer]["p99 paired"]
                goals.check("G4", f"added p99 as a share of {peer}'s, median of rounds", ratio, most=1 / times)
    return numbers


@contextlib.contextmanager
def shadowing(home: Path, *flags: str, target: str = "experiment") -> Iterator[subprocess.Popen[str]]:
    """`shadoweval worker` as a user starts it beside the application, on the measured core."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SHADOWEVAL_HOME": str(home)}
    command = ("-m", "shadoweval", "worker", f"benchmarks.mirror_experiment:{target}", *flags)
    with (home / "worker.txt").open("wb") as output:
        options: dict[str, Any] = {"stdout": output, "stderr": output, "env": environment, **pinned(1)}
        running = start_python(*command, **options)
    try:
        until = time.monotonic() + 60
        while b"Ctrl-C" not in (home / "worker.txt").read_bytes():
            if running.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"The worker does not start: {(home / 'worker.txt').read_text()[-2000:]}")
            time.sleep(0.05)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            for pid in tree(running.pid):
                os.kill(pid, signal.SIGKILL)
            running.wait()


def _told(home: Path) -> dict[str, int]:
    """What a worker says it did, at its end."""
    last = (home / "worker.txt").read_text().strip().rpartition("\n")[2].rpartition(": ")[2]
    pairs = [part.split() for part in last.split(", ") if len(part.split()) == 2]
    return {name: int(count) for count, name in pairs if count.isdigit()}


def candidate(_: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """10 % of the calls mirrored into a candidate that needs 2 ms, its worker on the same core."""
    ours = {"mirror, 10 %, idle": ("--idle",), "mirror, 10 %": ()}
    with contextlib.ExitStack() as stack:
        workers = {name: Worker(name, sink=options.sink, folder=options.folder / name) for name in NAMES[:2]}
        for name, flags in ours.items():
            home = options.folder / name.replace(", ", "-").replace(" ", "")
            running = stack.enter_context(shadowing(home, *flags))
            worker = workers[name] = Worker(name, sink=options.sink, folder=home, env={"SHADOWEVAL_HOME": str(home)})
            worker.beside.append(running.pid)
        rounds = _rounds(workers, options)
        title = f"the same, 10 % of the calls into a candidate of 2 ms, {options.rate:g} calls/s on one core"
        numbers = _table(title, rounds, list(workers))
        for worker in workers.values():
            worker.close()
    for name in ours:
        home = options.folder / name.replace(", ", "-").replace(" ", "")
        told = _told(home)
        numbers[name] |= {f"worker {key}": count for key, count in told.items()}
        print(f"  {name}: the worker says {', '.join(f'{count:,} {key}' for key, count in told.items())}")
        _goals(name, numbers, goals)
        goals.check("G4", f"{name}: runs of the candidate that did not fail", _served(told), least=1)
        goals.check("G4", f"{name}: runs of the candidate that failed", told.get("failed", 0), most=0)
    return numbers


def _served(told: Mapping[str, int]) -> int:
    return told.get("observations", 0) - told.get("failed", 0)
