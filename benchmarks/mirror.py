"""What a production call pays for being mirrored, beside public peers that observe the same call.

    python -m benchmarks.mirror [--rounds 7] [--calls 400] [--json PATH] [--only NAME,NAME] [--rate 500]

Every target lives in a process of its own on core 0, sinks on core 1. Blocks of calls alternate, A B C A B C, each
drained before the next, so that all see the same weather; added cost is the block's p50 less that of the bare function
in the same round, and the table gives the median over the rounds. Read the ratios, not the microseconds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.mirror_targets import TARGETS

# Name, workload, asynchronous, and the most that the mirror may cost as a share of OpenTelemetry and of LangSmith.
SUITES = (
    ("rag", "rag", False, 0.06, 0.010),
    ("agent", "agent", False, 0.045, 0.005),
    ("rag, async", "rag", True, 0.06, 0.006),
    ("agent, async", "agent", True, 0.05, 0.003),
)
OURS, PEERS = "mirror, ring", ("OpenTelemetry", "LangSmith")


def pinned(core: int) -> dict[str, Any]:
    """Keyword arguments that start a process on one core."""
    cores = sorted(os.sched_getaffinity(0))
    return {"preexec_fn": lambda: os.sched_setaffinity(0, {cores[core % len(cores)]})}


class Worker:
    """A target's process."""

    def __init__(self, name: str, sink: str, folder: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.mirror_worker", name, sink, str(folder)]
        with (folder / "errors.txt").open("wb") as errors:
            self.running = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, **pinned(0)
            )
        self.folder = folder
        self.skipped: str | None = self.read().get("skipped")

    def read(self) -> dict[str, Any]:
        assert self.running.stdout is not None
        line = self.running.stdout.readline()
        if not line:
            raise SystemExit(f"{self.running.args} died: {(self.folder / 'errors.txt').read_text()[-2000:]}")
        return json.loads(line)

    def run(self, **block: Any) -> dict[str, Any]:
        assert self.running.stdin is not None
        self.running.stdin.write(json.dumps(block) + "\n")
        self.running.stdin.flush()
        return self.read()

    def close(self) -> None:
        assert self.running.stdin is not None
        self.running.stdin.close()
        self.running.wait()


def added(rounds: list[dict[str, dict[str, Any]]], name: str, what: str) -> float:
    """Median over the rounds of a target's cost less the bare function's, in microseconds."""
    found = [one[name][what] - one["bare"][what] for one in rounds if what in one.get(name, {})]
    return statistics.median(found) * 1e6 if found else float("nan")


def measure(workers: dict[str, Worker], *, rounds: int, **block: Any) -> list[dict[str, dict[str, Any]]]:
    """Blocks in turn."""
    for worker in workers.values():
        worker.run(**{**block, "count": max(block["count"] // 2, 50)})
    return [{name: worker.run(**block) for name, worker in workers.items()} for _ in range(rounds)]


def table(title: str, rounds: list[dict[str, dict[str, Any]]], names: list[str]) -> dict[str, dict[str, float]]:
    """Print a suite, and give its numbers."""
    numbers = {name: {what: added(rounds, name, what) for what in ("p50", "p99", "cpu")} for name in names}
    bare = statistics.median(one["bare"]["p50"] for one in rounds) * 1e6
    print(f"\n{title} (bare p50 {bare:.1f} us)")
    heads = [f"/{peer}" for peer in PEERS if peer in names]
    print(f"  {'':<22}{'+p50 us':>10}{'+p99 us':>11}{'+CPU us':>10}" + "".join(f"{head:>16}" for head in heads))
    for name in names:
        if name == "bare":
            continue
        row = numbers[name]
        ratios = [f"{row['p50'] / numbers[peer]['p50']:>16.4f}" for peer in PEERS if peer in names]
        print(f"  {name:<22}{row['p50']:>10.2f}{row['p99']:>11.1f}{row['cpu']:>10.1f}" + "".join(ratios))
    return numbers


def at_a_rate(workers: dict[str, Worker], options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Calls that work 100 us and wait three times 200 us, from their scheduled starts, helpers on the same core.

    laboratory runs the function twice and can't keep the rate: it is left out.
    """
    able = {name: worker for name, worker in workers.items() if name != "laboratory"}
    block = {"workload": "rag", "asynchronous": False, "count": 1000, "rate": options.rate}
    rounds = measure(able, rounds=max(options.rounds // 2, 3), **block)
    return table(f"rag with work inside, {options.rate:g} calls/s on one core", rounds, list(able))


def goals(numbers: dict[str, dict[str, float]], suite: tuple[Any, ...]) -> bool:
    """Print whether the mirror is within its limits."""
    good = True
    for peer, limit in zip(PEERS, suite[3:], strict=True):
        if peer in numbers and OURS in numbers:
            ratio = numbers[OURS]["p50"] / numbers[peer]["p50"]
            good &= ratio <= limit
            print(f"  {'ok' if ratio <= limit else 'MISSED':<7} {ratio:.4f} of {peer}, at most {limit}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mirror", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--rate", type=float, default=500.0, help="calls a second of the last suite; 0 leaves it out")
    parser.add_argument("--only", default="", help="targets, separated by semicolons")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = [
        "bare",
        *(
            name
            for name in TARGETS
            if name != "bare" and name in (options.only.split(";") if options.only else TARGETS)
        ),
    ]
    sink = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.mirror_sink"], stdout=subprocess.PIPE, text=True, **pinned(1)
    )
    assert sink.stdout is not None
    url = f"http://127.0.0.1:{int(sink.stdout.readline())}"
    workers: dict[str, Worker] = {}
    results: dict[str, Any] = {}
    good = True
    try:
        with tempfile.TemporaryDirectory(prefix="mirror-") as folder:
            for name in names:
                inner = Path(folder) / name.replace(", ", "-")
                inner.mkdir()
                worker = Worker(name, url, inner)
                if worker.skipped:
                    print(f"{name}: {worker.skipped}")
                else:
                    workers[name] = worker
            for suite in SUITES:
                rounds = measure(
                    workers,
                    rounds=options.rounds,
                    workload=suite[1],
                    asynchronous=suite[2],
                    count=options.calls,
                    rate=0,
                )
                shown = [name for name in workers if any("p50" in one[name] for one in rounds)]
                results[suite[0]] = table(f"{suite[0]}, back to back", rounds, shown)
                good &= goals(results[suite[0]], suite)
            if options.rate:
                results["rate"] = at_a_rate(workers, options)
            for worker in workers.values():
                worker.close()
    finally:
        sink.kill()
        sink.wait()
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
