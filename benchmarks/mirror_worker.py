"""One target in a process of its own: reads what to do as JSON lines, writes what it took."""

import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.mirror_peers import PEERS
from benchmarks.mirror_targets import OWN, Target
from benchmarks.mirror_workloads import Current, build, payloads, spin_count

__all__ = ["TARGETS", "Blocks", "cpu_seconds", "quantiles"]

TARGETS = {**OWN, **PEERS}
_SLICE = 0.001
_PATIENCE = 20.0
_COLD = 16
"""First calls of a block whose times are left out: the process has just come to this core."""


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU seconds of other processes."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                total += int(task.read_text().split()[0])
            except OSError:
                continue
    return total / 1e9


def quantiles(times: Sequence[float]) -> dict[str, float]:
    """p50 and p99 of sorted times."""
    count = len(times)
    return {name: times[min(int(share * count), count - 1)] for name, share in (("p50", 0.5), ("p99", 0.99))}


class Blocks:
    """Does what it is asked, with one target."""

    def __init__(self, target: Target, mark: str) -> None:
        self.target = target
        self.loop = asyncio.new_event_loop()
        self.functions: dict[str, Callable[..., Any]] = {}
        self.pools: dict[str, list[dict[str, Any]]] = {}
        self.spins = spin_count(100.0)
        self.mark = f"MK{mark}"
        self.calls = 0
        self.lost = 0

    def function(self, workload: str, *, asynchronous: bool = False, busy: bool = False) -> Callable[..., Any]:
        key = f"{workload} {asynchronous} {busy}"
        if key not in self.functions:
            work = (self.spins, 3, 200e-6) if busy else (0, 0, 0.0)
            self.functions[key] = build(workload, self.target.wrap, asynchronous=asynchronous, work=work)
        return self.functions[key]

    def pool(self, workload: str) -> list[dict[str, Any]]:
        if workload not in self.pools:
            self.pools[workload] = payloads(workload, count=16 if workload == "fat" else 256)
        return self.pools[workload]

    def run(
        self,
        *,
        workload: str,
        count: int,
        asynchronous: bool = False,
        rate: float = 0.0,
        busy: bool = False,
        raw: bool = False,
        helpers: Sequence[int] = (),
    ) -> dict[str, Any]:
        """A block of calls; with `raw` all times in microseconds come too."""
        try:
            function = self.function(workload, asynchronous=asynchronous, busy=busy)
        except NotImplementedError as error:
            return {"skipped": str(error)}
        count = max(int(count * self.target.scale), 20) + _COLD
        pool, first = self.pool(workload), self.calls
        self.calls += count
        helpers = [*self.target.helpers, *helpers]
        before, began = cpu_seconds(helpers), time.process_time()
        if asynchronous:
            times = self.loop.run_until_complete(self._run_async(function, pool, range(first, first + count)))
        else:
            times = self._run_sync(function, pool, range(first, first + count), rate=rate)
        self.target.flush()
        cpu = time.process_time() - began + cpu_seconds(helpers) - before
        times = sorted(times[_COLD:])
        answer: dict[str, Any] = {
            **quantiles(times),
            "cpu": cpu / count,
            "count": count,
            "threads": threading.active_count(),
        }
        if raw:
            answer["times"] = [round(each * 1e6, 2) for each in times]
        return {**answer, "lost": self._newly_lost()}

    def _newly_lost(self) -> int | None:
        self.target.tidy()
        lost = self.target.lost()
        if lost is None:
            return None
        self.lost, before = lost, self.lost
        return lost - before

    def _run_sync(
        self, function: Callable[..., Any], pool: list[dict[str, Any]], numbers: range, *, rate: float
    ) -> list[float]:
        """Seconds of each call; from its scheduled start where there is a rate (no coordinated omission)."""
        times, now, mask, mark = [0.0] * len(numbers), time.perf_counter, len(pool) - 1, self.mark
        start = now() + 0.002
        for i, number in enumerate(numbers):
            Current.payload = payload = pool[number & mask]
            question = f"{mark}{number:08x} {payload['question']}"
            began = now()
            if rate:
                due = start + i / rate
                if due > began:
                    time.sleep(due - began)
                began = due
            function(question)
            times[i] = now() - began
        return times

    async def _run_async(self, function: Callable[..., Any], pool: list[dict[str, Any]], numbers: range) -> list[float]:
        """Seconds of each call."""
        times, now, mask, mark = [0.0] * len(numbers), time.perf_counter, len(pool) - 1, self.mark
        for i, number in enumerate(numbers):
            Current.payload = payload = pool[number & mask]
            question = f"{mark}{number:08x} {payload['question']}"
            began = now()
            await function(question)
            times[i] = now() - began
        return times

    def hurry(self, *, workload: str, seconds: float, rate: float = 0.0) -> dict[str, Any]:
        """Calls as fast as they go, or a rate in slices of a millisecond; and what was lost of them."""
        function, pool, mark = self.function(workload), self.pool(workload), self.mark
        questions = [f"{mark}{i:08x} {payload['question']}" for i, payload in enumerate(pool)]
        pairs = list(zip(questions, pool, strict=True))
        helpers = self.target.helpers
        before, cpu, now = cpu_seconds(helpers), time.process_time(), time.perf_counter
        began = moment = now()
        count = late = 0
        while moment - began < seconds:
            if rate and count >= (moment - began) * rate:
                time.sleep(_SLICE)
                moment = now()
                continue
            late = max(late, int((moment - began) * rate) - count)
            for question, payload in pairs[: 64 if rate else 256]:
                Current.payload = payload
                function(question)
            count += 64 if rate else 256
            moment = now()
        took = moment - began
        own = time.process_time() - cpu
        self.target.flush()
        beside = cpu_seconds(helpers) - before
        answer = {"count": count, "seconds": took, "own": own / count, "beside": beside / count, "late": late}
        return {**answer, "lost": self._newly_lost()}

    def drain(self) -> dict[str, Any]:
        """Wait until the ring is empty."""
        began = time.perf_counter()
        self.target.flush()
        while getattr(self.target, "waiting", 0) and time.perf_counter() - began < _PATIENCE:
            time.sleep(0.001)
        return {"seconds": time.perf_counter() - began}

    def helpers(self) -> dict[str, Any]:
        """Processes beside it."""
        return {"pids": self.target.helpers}

    def finish(self) -> dict[str, Any]:
        """Close the mirror; its collector ends when it has written everything."""
        mirror: Any = getattr(self.target, "mirror", None)
        if mirror is not None:
            mirror.close()
        return {"calls": self.calls + getattr(self.target, "first_calls", 0)}


def main() -> None:
    name, sink, folder, mark = sys.argv[1:]
    logging.disable(logging.WARNING)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what SDKs print is no answer of ours
    try:
        target = TARGETS[name](sink, Path(folder))
    except ImportError as error:
        answers.write(json.dumps({"skipped": f"not installed: {error.name}"}) + "\n")
        return
    getattr(target, "ready", lambda: None)()
    blocks = Blocks(target, mark)
    answers.write("{}\n")
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(getattr(blocks, request.pop("do"))(**request)) + "\n")
    os._exit(0)


if __name__ == "__main__":
    main()
