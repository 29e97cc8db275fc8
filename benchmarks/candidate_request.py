"""What a request through the pool costs, of this tree and of another one. Run: python -m benchmarks.candidate_request.

CPU of the pool's process and of its children for each no-op envelope, and the time until its answer. With `--against
TREE` (a checkout of an earlier commit) bursts of both trees alternate, and the ratios of the medians are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
BURST = 600
NAMES = ("pool CPU, us", "children CPU, us", "p50, us")
TARGET = "def work(question): return question"
SIDE = """
import asyncio, datetime as dt, json, os, pathlib, sys, time
from shadoweval.candidate.pool import CandidatePool
from shadoweval.codec import freeze
from shadoweval.records import Envelope, Observation, Outcome, Query

now = dt.datetime.now(dt.UTC)
outcome, facts = Outcome(answer="a"), {"query_id": "q", "arm": "incumbent", "place": "served"}
served = Observation(**facts, outcome=outcome, started_at=now, duration=1.0)
query = Query(id="q", text="q", inputs=freeze((("q",), {})), asked_at=now)
envelope = Envelope(experiment="bench", query=query, served=served)

def children(pid):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield child
            yield from children(child)

def seconds(pids):
    return sum(int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9

async def main():
    async with CandidatePool({"c": "bench_request:work"}) as pool:
        for _ in range(300):
            assert (await pool.run(envelope, arm="c")).outcome.answer == "q"
        print("ready", flush=True)
        while (count := int(sys.stdin.readline() or 0)):
            pids, took = list(children(os.getpid())), []
            own, theirs = time.process_time(), seconds(pids)
            for _ in range(count):
                began = time.perf_counter()
                await pool.run(envelope, arm="c")
                took.append(time.perf_counter() - began)
            own, theirs = time.process_time() - own, seconds(pids) - theirs
            print(json.dumps([own / count * 1e6, theirs / count * 1e6, sorted(took)[count // 2] * 1e6]), flush=True)

asyncio.run(main())
"""


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


class Side:
    """A process that runs bursts of requests with the package of one tree."""

    def __init__(self, tree: Path, folder: str) -> None:
        environment = os.environ | {"PYTHONPATH": f"{tree}:{folder}"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SIDE], env=environment, cwd=folder, stdin=-1, stdout=-1, text=True
        )
        assert self._line() == "ready"
        self.rows: list[list[float]] = []

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def burst(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{BURST}\n")
        self.process.stdin.flush()
        self.rows.append(json.loads(self._line()))

    def close(self) -> dict[str, float]:
        """Medians over the bursts."""
        self.process.communicate("")
        columns = zip(*self.rows, strict=True)
        medians = dict(zip(NAMES, map(median, columns), strict=True))
        return medians | {"CPU, us": median([pool + children for pool, children, _ in self.rows])}


def compared(rounds: int, against: Path | None) -> dict[str, float]:
    """This tree's figures, and their ratios to the other one's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_request.py").write_text(TARGET, encoding="utf-8")
        sides = [Side(tree, folder) for tree in (HERE, against) if tree is not None]
        for _ in range(rounds):
            for side in random.sample(sides, len(sides)):
                side.burst()
        ours, *theirs = [side.close() for side in sides]
    for name, value in ours.items():
        row = f"{value:9.1f}" + "".join(
            f"   {other[name]:9.1f} there   ratio {value / other[name]:.2f}" for other in theirs
        )
        print(f"request: {name:27s}{row}")
    return ours | {f"{name} / there": value / other[name] for other in theirs for name, value in ours.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--against", type=Path, help="root of another checkout")
    options = parser.parse_args()
    compared(options.rounds, None if options.against is None else options.against.resolve())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
