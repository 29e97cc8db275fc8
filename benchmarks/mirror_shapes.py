"""What a call costs by what its retriever and its tools return: kinds that pipelines really hand over, one by one.

Goals of a row: at most these shares of what OpenTelemetry and LangSmith add to the same call in the same rounds.
"""

import argparse
import statistics
from typing import Any

from benchmarks.mirror_processes import Worker
from benchmarks.mirror_tables import Goals, added, measure

__all__ = ["NAMES", "shapes"]

OURS = "mirror, ring"
PEERS = ("OpenTelemetry", "LangSmith")
NAMES = ("bare", OURS, *PEERS)
PASSAGES = (
    "documents",
    "documents with scores",
    "documents with numpy scores",
    "strings",
    "dicts",
    "dicts with scores",
    "qdrant points",
    "dataclasses",
    "pydantic models",
)
RESULTS = ("dict", "text", "dataclass", "pydantic", "message")
RAG, RETURNED, AGENT = (0.12, 0.03), (0.13, 0.03), (0.12, 0.025)
OBJECTS = {"dataclass": 1.7, "pydantic": 1.7}
"""What an agent call with such results may cost, as a multiple of one with dictionaries."""
CALLS = 200


def shapes(workers: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """All rows, sync and async."""
    results: dict[str, Any] = {}
    print("\nby kind, back to back: added p50 in microseconds, and as a share of the peers'")
    print(f"  {'':<58}{'+p50 us':>9}" + "".join(f"{'+' + name:>16}{'share':>8}" for name in PEERS))
    for asynchronous in (False, True):
        for kind in PASSAGES:
            for returned, limits in (("", RAG), ("/returned", RETURNED)):
                _row(f"rag/{kind}{returned}", asynchronous, limits, workers, options, goals, results)
        for how in ("keyword", "position"):
            for kind in RESULTS:
                limits = AGENT if kind in {"dict", "text"} else ()
                _row(f"agent/{kind}/{how}", asynchronous, limits, workers, options, goals, results)
            for kind, most in OBJECTS.items():
                ours = (results[_title(f"agent/{each}/{how}", asynchronous)][OURS] for each in (kind, "dict"))
                title = _title(f"agent/{kind}/{how}", asynchronous)
                goals.check("shapes", f"{title}: as a multiple of dictionaries", next(ours) / next(ours), most=most)
    return results


def _title(workload: str, asynchronous: bool) -> str:
    return workload.replace("/", ", ") + (", async" if asynchronous else "")


def _row(  # noqa: PLR0917 - one place calls it
    workload: str,
    asynchronous: bool,
    limits: tuple[float, ...],
    workers: dict[str, Worker],
    options: argparse.Namespace,
    goals: Goals,
    results: dict[str, Any],
) -> None:
    rounds = measure(workers, rounds=options.rounds, workload=workload, asynchronous=asynchronous, count=CALLS)
    title = _title(workload, asynchronous)
    numbers = results[title] = {name: added(rounds, name, "p50") for name in workers if name != "bare"}
    if OURS not in numbers:
        return
    lost = statistics.fmean(one[OURS]["lost"] for one in rounds)
    shares = {peer: numbers[OURS] / numbers[peer] for peer in PEERS if peer in numbers}
    cells = "".join(f"{numbers[peer]:>16.1f}{shares[peer]:>8.3f}" for peer in shares)
    print(f"  {title:<58}{numbers[OURS]:>9.1f}{cells}", flush=True)
    goals.check("shapes", f"{title}: calls that are lost", lost, most=0, quiet=True)
    for peer, most in zip(PEERS, limits, strict=False):
        if peer in shares:
            goals.check("shapes", f"{title}: added p50 as a share of {peer}'s", shares[peer], most=most, quiet=True)
