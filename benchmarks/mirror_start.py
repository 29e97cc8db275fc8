"""What a process pays once: import and first call, threads, memory (goal G6).

Each start is a process of its own that has loaded what applications have anyway (asyncio, json, logging, threading).
The ring's pages are told apart: they are shared with the collector, and there are as many as were written to.
"""

import argparse
import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.mirror_peers import PEERS
from benchmarks.mirror_processes import Worker, pinned, start_python
from benchmarks.mirror_tables import Goals
from benchmarks.mirror_worker import TARGETS
from benchmarks.mirror_workloads import Current, build, payloads

__all__ = ["start"]

OURS = "mirror, experiment"
NAMES = ("bare", "mirror, ring", OURS, "OpenTelemetry", "LangSmith", "Langfuse", "Opik", "MLflow")
STARTS, PEER_STARTS = 7, 3
MORE, PEER_MORE = 3000, 200
"""Calls after the first: a ring of 8 MiB was written to everywhere by then."""
LOADED = (asyncio, json, logging, threading)


def resident() -> tuple[float, float]:
    """MB of this process that are in memory, and MB of the ring among them."""
    whole = ring = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if line.startswith("Rss:"):
            whole += int(line.split()[1])
            ring += int(line.split()[1]) if inside else 0
        elif line[0].islower() or line[0].isdigit():
            inside = "memfd:" in line
    return whole / 1024, ring / 1024


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are all that is wanted


def first(name: str, sink: str, folder: Path) -> dict[str, float]:
    """Begin to use a target here, and say what it took."""
    Current.payload = payload = payloads(count=1)[0]
    modules, threads, (before, _) = len(sys.modules), _threads(), resident()
    began = time.perf_counter()
    function = build("rag", TARGETS[name](sink, folder).wrap, asynchronous=False, work=(0, 0, 0.0))
    made = time.perf_counter()
    function(payload["question"])
    called = time.perf_counter()
    after, ring = resident()
    time.sleep(0.5)  # its collector comes up: until then nothing goes through the ring
    for _ in range(PEER_MORE if name in PEERS else MORE):
        function(payload["question"])
    later, whole_ring = resident()
    return {
        "import": (made - began) * 1e3,
        "first call": (called - made) * 1e3,
        "threads": _threads() - threads,
        "memory": after - before - ring,
        "ring": ring,
        "memory later": later - before - whole_ring,
        "ring later": whole_ring,
        "modules": len(sys.modules) - modules,
    }


def _started(name: str, options: argparse.Namespace, number: int) -> dict[str, float] | None:
    folder = options.folder / f"{name}-{number}".replace(", ", "-")
    folder.mkdir()
    running = start_python(
        *("-m", "benchmarks.mirror_start", name, options.sink.url, str(folder)),
        python=options.pythons.get(name, sys.executable),
        env={"SHADOWEVAL_HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        **pinned(0),
    )
    answer = json.loads(running.communicate(timeout=300)[0].strip().rpartition("\n")[2])
    if "skipped" in answer:
        print(f"{name}: skipped, {answer['skipped']}")
        return None
    return answer


def start(_: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Starts in turn, A B C A B C."""
    names = [name for name in NAMES if options.wanted is None or name in options.wanted or name in {"bare", OURS}]
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(STARTS):
        for name in [name for name in names if name not in PEERS or number < PEER_STARTS]:
            answer = _started(name, options, number)
            if answer is None:
                names.remove(name)
            else:
                found.setdefault(name, []).append(answer)
    results = {
        name: {what: statistics.median(one[what] for one in all_) for what in all_[0]} for name, all_ in found.items()
    }
    print(f"\nthe first call of a process, and {MORE:,} calls later (peers {PEER_MORE}; median of {STARTS})")
    heads = ("import ms", "1st call ms", "threads", "MB", "ring MB", "MB later", "ring MB", "modules")
    print(f"  {'':<22}" + "".join(f"{head:>13}" for head in heads))
    for name, row in results.items():
        print(f"  {name:<22}" + "".join(f"{value:>13.1f}" for value in row.values()))
    for name in (OURS, "mirror, ring"):
        if name in results:
            row = results[name]
            goals.check("G6", f"{name}: threads in the process", row["threads"], most=0)
            goals.check("G6", f"{name}: import and first call, ms", row["import"] + row["first call"], most=80)
            goals.check("G6", f"{name}: memory beside the ring, MB", max(row["memory"], row["memory later"]), most=8)
    return results


def main() -> None:
    name, sink, folder = sys.argv[1:]
    logging.disable(logging.WARNING)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        answer: dict[str, Any] = first(name, sink, Path(folder))
    except ImportError as error:
        answer = {"skipped": f"not installed: {error.name}"}
    answers.write(json.dumps(answer) + "\n")
    os._exit(0)


if __name__ == "__main__":
    main()
