"""One target in a process of its own: reads blocks to run as JSON lines, writes what they took."""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.mirror_targets import TARGETS, Target
from benchmarks.mirror_workloads import Current, build, payloads, spin_count

_POOL = payloads()
_MASK = len(_POOL) - 1


def helper_time(pids: list[int]) -> float:
    """CPU seconds of other processes."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(task.read_text().split()[0])
    return total / 1e9


def run_sync(function: Callable[..., Any], count: int, rate: float) -> list[float]:
    """Seconds of each call; from its scheduled start where there is a rate (no coordinated omission)."""
    times, now = [0.0] * count, time.perf_counter
    start = now() + 0.002
    for i in range(count):
        Current.payload = payload = _POOL[i & _MASK]
        question = f"{i:08x} {payload['question']}"
        began = now()
        if rate:
            due = start + i / rate
            if due > began:
                time.sleep(due - began)
            began = due
        function(question)
        times[i] = now() - began
    return times


async def run_async(function: Callable[..., Any], count: int) -> list[float]:
    """Seconds of each call."""
    times, now = [0.0] * count, time.perf_counter
    for i in range(count):
        Current.payload = payload = _POOL[i & _MASK]
        question = f"{i:08x} {payload['question']}"
        began = now()
        await function(question)
        times[i] = now() - began
    return times


class Blocks:
    """Runs blocks of calls of one target."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.loop = asyncio.new_event_loop()
        self.functions: dict[str, Callable[..., Any]] = {}
        self.spins = spin_count(100.0)

    def function(self, workload: str, *, asynchronous: bool, busy: bool) -> Callable[..., Any]:
        key = f"{workload} {asynchronous} {busy}"
        if key not in self.functions:
            work = (self.spins, 3, 200e-6) if busy else (0, 0, 0.0)
            self.functions[key] = build(workload, self.target.wrap, asynchronous=asynchronous, work=work)
        return self.functions[key]

    def run(self, *, workload: str, asynchronous: bool, count: int, rate: float) -> dict[str, Any]:
        try:
            function = self.function(workload, asynchronous=asynchronous, busy=rate > 0)
        except NotImplementedError as error:
            return {"skipped": str(error)}
        helpers = self.target.helpers
        before, began = helper_time(helpers), time.process_time()
        if asynchronous:
            times = self.loop.run_until_complete(run_async(function, count))
        else:
            times = run_sync(function, count, rate)
        self.target.flush()
        cpu = time.process_time() - began + helper_time(helpers) - before
        times.sort()
        at = {name: times[min(int(share * count), count - 1)] for name, share in (("p50", 0.5), ("p99", 0.99))}
        return {**at, "cpu": cpu / count, "threads": threading.active_count()}


def main() -> None:
    name, sink, folder = sys.argv[1:]
    logging.disable(logging.WARNING)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what SDKs print is no answer of ours
    try:
        blocks = Blocks(TARGETS[name](sink, Path(folder)))
    except ImportError as error:
        answers.write(json.dumps({"skipped": f"not installed: {error.name}"}) + "\n")
        return
    answers.write("{}\n")
    for line in sys.stdin:
        answers.write(json.dumps(blocks.run(**json.loads(line))) + "\n")
    os._exit(0)


if __name__ == "__main__":
    main()
