"""What a production call pays for being mirrored, beside public peers that observe the same call.

    python -m benchmarks.mirror [--suite latency,rate] [--rounds 7] [--json PATH] [--python Langfuse=/path/to/python]

Every target lives in a process of its own; the one whose turn it is runs on core 0 with all that belongs to it, the
others and the sinks on core 1. Blocks of calls alternate, A B C A B C, each drained before the next, so that all see
the same weather; what is reported is a block less that of the bare function in the same round. Read the ratios, not
the microseconds.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    mirror_faults,
    mirror_kill,
    mirror_latency,
    mirror_rate,
    mirror_shapes,
    mirror_start,
    mirror_throughput,
)
from benchmarks.mirror_processes import Sink, Worker, open_workers
from benchmarks.mirror_tables import Goals

Suite = Callable[[dict[str, Worker], argparse.Namespace, Goals], dict[str, Any]]
# Name: what it measures, the targets that it needs alive.
SUITES: dict[str, tuple[Suite, Sequence[str]]] = {
    "start": (mirror_start.start, ()),
    "latency": (mirror_latency.latency, mirror_latency.NAMES),
    "shapes": (mirror_shapes.shapes, mirror_shapes.NAMES),
    "fat": (mirror_latency.fat, mirror_latency.FAT_NAMES),
    "throughput": (mirror_throughput.throughput, ()),
    "rate": (mirror_rate.rate, mirror_rate.NAMES),
    "candidate": (mirror_rate.candidate, ()),
    "faults": (mirror_faults.faults, ()),
    "kill": (mirror_kill.kill, ()),
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.mirror", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", default=",".join(SUITES), help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=400, help="calls of a block, back to back")
    parser.add_argument("--rate", type=float, default=500.0, help="calls a second of rate and candidate")
    parser.add_argument("--rate-rounds", type=int, default=12, help="rounds of rate and candidate")
    parser.add_argument("--rate-calls", type=int, default=1000, help="calls of a block there")
    parser.add_argument("--kills", type=int, default=50, help="repetitions of each way to kill")
    parser.add_argument("--only", default="", help="targets, separated by semicolons; bare is always there")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="run a target under another interpreter"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.suites = options.suite.split(",")
    unknown = [name for name in options.suites if name not in SUITES]
    if unknown:
        parser.error(f"no suite {unknown[0]!r}; there are {', '.join(SUITES)}")
    options.pythons = dict(given.split("=", 1) for given in options.python)
    options.wanted = options.only.split(";") if options.only else None
    return options


def _run(suite: str, options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """One suite with targets of its own."""
    measured, needed = SUITES[suite]
    names = [name for name in needed if options.wanted is None or name.startswith("bare") or name in options.wanted]
    workers: dict[str, Worker] = {}
    with tempfile.TemporaryDirectory(prefix="mirror-", ignore_cleanup_errors=True) as folder:
        options.folder, options.sink = Path(folder), Sink()
        try:
            workers = open_workers(names, sink=options.sink, folder=options.folder, pythons=options.pythons)
            return measured(workers, options, goals)
        finally:
            for worker in workers.values():
                worker.close()
            options.sink.close()


def main() -> int:
    options = _options()
    goals = Goals()
    results: dict[str, Any] = {}
    for suite in options.suites:
        began = time.monotonic()
        results[suite] = _run(suite, options, goals)
        print(f"  ({suite}: {time.monotonic() - began:.0f} s)", flush=True)
    missed = [goal for goal in goals.all if not goal["met"]]
    print(f"\n{len(goals.all) - len(missed)} of {len(goals.all)} goals met")
    if options.json:
        about = {"python": platform.python_version(), "system": platform.platform(), "load": _load()}
        options.json.write_text(json.dumps({"about": about, "suites": results, "goals": goals.all}, indent=1))
    return 0 if goals.met else 1


def _load() -> str:
    try:
        return Path("/proc/loadavg").read_text().strip()
    except OSError:
        return ""


if __name__ == "__main__":
    raise SystemExit(main())
