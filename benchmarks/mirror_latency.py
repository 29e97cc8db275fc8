"""Calls back to back that do nothing: what remains is the cost of observing, or of being switched off (G6)."""

import argparse
from typing import Any

from benchmarks.mirror_processes import Worker
from benchmarks.mirror_tables import Goals, measure, table

__all__ = ["fat", "latency"]

OURS = "mirror, ring"
NAMES = (
    "bare",
    "empty decorator",
    "mirror, off",
    "mirror, killed",
    "mirror, not sampled",
    "mirror, not sampled, unit",
    "bucket of a unit",
    OURS,
    "mirror, spool",
    "laboratory",
    "OpenTelemetry",
    "LangSmith",
    "Langfuse",
    "Opik",
    "MLflow",
)
# Workload, asynchronous, and the most that the mirror may cost as a share of each peer.
SUITES: tuple[tuple[str, str, bool, str, dict[str, float]], ...] = (
    ("rag", "rag", False, "rag", {"OpenTelemetry": 0.13, "LangSmith": 0.03}),
    ("agent", "agent", False, "agent", {"OpenTelemetry": 0.12, "LangSmith": 0.025}),
    ("rag, async", "rag", True, "rag", {"OpenTelemetry": 0.13, "LangSmith": 0.03}),
    ("agent, async", "agent", True, "agent", {"OpenTelemetry": 0.12, "LangSmith": 0.025}),
)
UNUSED, BUCKET = 0.3, 1.3
"""Microseconds over an empty decorator; with a unit, as a multiple of the bucket function."""
FAT_CALLS, FAT_ROUNDS = 20, 3
"""A block fits into the ring: calls that found no room would cost little, and flatter. Hence more rounds."""
FAT_NAMES = ("bare", OURS, "mirror, 16 KiB", "OpenTelemetry", "LangSmith", "Langfuse")


def latency(workers: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Four workloads."""
    results: dict[str, Any] = {}
    for title, workload, asynchronous, goal, limits in SUITES:
        block = {"workload": workload, "asynchronous": asynchronous, "count": options.calls}
        rounds = measure(workers, rounds=options.rounds, **block)
        shown = [name for name in workers if all("p50" in one[name] for one in rounds)]
        numbers = results[title] = table(f"{title}, back to back", rounds, shown)
        if OURS not in numbers:
            continue
        _lost(title, numbers, goals)
        for peer, most in limits.items():
            if peer in numbers:
                ratio = numbers[OURS]["p50"] / numbers[peer]["p50"]
                goals.check(goal, f"{title}: added p50 as a share of {peer}'s", ratio, most=most)
        if title == "rag":
            _unused(numbers, goals)
    return results


def _lost(title: str, numbers: dict[str, dict[str, float]], goals: Goals) -> None:
    """What is lost costs little: a median with losses in it says nothing."""
    if OURS in numbers:
        goals.check("G8", f"{title}: share of the calls that are lost", numbers[OURS]["lost"], most=0)


def _unused(numbers: dict[str, dict[str, float]], goals: Goals) -> None:
    for name in ("mirror, off", "mirror, not sampled"):
        if name in numbers and "empty decorator" in numbers:
            over = numbers[name]["p50"] - numbers["empty decorator"]["p50"]
            goals.check("G6", f"{name}: microseconds over an empty decorator", over, most=UNUSED)
    if "mirror, not sampled, unit" in numbers and "bucket of a unit" in numbers:
        names = ("mirror, not sampled, unit", "empty decorator", "bucket of a unit")
        ours, empty, bucket = (numbers[name]["p50"] for name in names)
        multiple = (ours - empty) / (bucket - empty)
        goals.check("G6", "not sampled, with a unit: as a multiple of the bucket function", multiple, most=BUCKET)


def fat(workers: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Fifty passages of 4,000 characters: about 600 KB a call where all inputs and outputs are written (G16)."""
    rounds = measure(workers, rounds=FAT_ROUNDS * options.rounds, workload="fat", count=FAT_CALLS)
    numbers = table("fat rag, 50 passages of 4,000 characters, back to back", rounds, list(workers))
    _lost("fat rag", numbers, goals)
    if "mirror, 16 KiB" in numbers and "OpenTelemetry" in numbers:
        ratio = numbers["mirror, 16 KiB"]["p50"] / numbers["OpenTelemetry"]["p50"]
        goals.check("G16", "added p50 with a cap of 16 KiB as a share of OpenTelemetry's", ratio, most=0.06)
    if OURS in numbers:
        if "OpenTelemetry" in numbers:
            ratio = numbers[OURS]["p50"] / numbers["OpenTelemetry"]["p50"]
            goals.check("G16", "added p50 with the default cap as a share of OpenTelemetry's", ratio, most=0.06)
        goals.check("G16", "added p50 with the default cap, microseconds", numbers[OURS]["p50"], most=30.0)
    return numbers
