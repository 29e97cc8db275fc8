"""How many calls a second can be handed off, with nothing lost (goal G8).

The spool lies in memory where there is /dev/shm, so that processors are measured and not a disk; a reader removes what
was written, as the worker does. The collector's own speed is taken from full rings that it empties: it is stopped while
the ring is filled.
"""

import argparse
import contextlib
import os
import signal
import statistics
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.mirror_processes import Worker, place
from benchmarks.mirror_tables import Goals
from benchmarks.mirror_worker import cpu_seconds
from shadoweval.transport import SpoolReceiver

__all__ = ["throughput"]

SECONDS = 3.0
STEPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2)
FILLS = 40
FILL = 1000


@contextlib.contextmanager
def _reader(folder: Path) -> Iterator[None]:
    """Removes segments that are done."""
    done = threading.Event()

    def remove() -> None:
        while not done.wait(0.05):
            for path in sorted(folder.glob("*.seg"))[:-1]:
                path.unlink(missing_ok=True)

    thread = threading.Thread(target=remove)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(title: str, answer: dict[str, Any]) -> dict[str, float]:
    row = {
        "calls/s": answer["count"] / answer["seconds"],
        "lost": answer["lost"] / answer["count"],
        "own us": answer["own"] * 1e6,
        "collector us": answer["beside"] * 1e6,
        "calls/s/core": 1 / (answer["own"] + answer["beside"]),
    }
    cells = f"{row['calls/s']:>10,.0f}{100 * row['lost']:>9.3f}{row['own us']:>9.1f}{row['collector us']:>11.1f}"
    print(f"  {title:<44}{cells}{row['calls/s/core']:>14,.0f}")
    return row


def _rates(worker: Worker) -> dict[str, dict[str, float]]:
    """As fast as it goes on two cores and on one, then the fastest on one core that loses nothing."""
    collector = worker.ask("helpers")["pids"]
    place(worker.processes, 0)
    place(collector, 1)
    worker.ask("hurry", workload="rag", seconds=1.0)
    results = {"two cores": _show("as fast as it goes, collector elsewhere", worker.ask("hurry", **_HURRY))}
    place(collector, 0)
    full = results["one core"] = _show("as fast as it goes, collector on the same core", worker.ask("hurry", **_HURRY))
    most = min(full["calls/s"], 1.1 * results["two cores"]["calls/s/core"])
    for step in STEPS:
        answer = worker.ask("hurry", **_HURRY, rate=step * most)
        if not answer["lost"] and not answer["late"] > step * most / 10:
            results["sustained"] = _show("the fastest rate on one core, of those tried", answer)
            break
    return results


_HURRY: dict[str, Any] = {"workload": "rag", "seconds": SECONDS}


def _collector(worker: Worker) -> float:
    """Records a CPU second that the collector moves."""
    (collector,) = worker.ask("helpers")["pids"]
    found, spool = [], SpoolReceiver(worker.folder / "spool")
    for _ in range(FILLS):
        os.kill(collector, signal.SIGSTOP)
        try:
            place(worker.processes, 0)
            place([collector], 0)
            before, moved = cpu_seconds([collector]), spool.counters()["mirrored"]
            worker.ask("run", workload="rag", count=FILL)
        finally:
            os.kill(collector, signal.SIGCONT)
        worker.ask("drain")
        found.append((spool.counters()["mirrored"] - moved) / (cpu_seconds([collector]) - before))
    return statistics.median(found)


def throughput(_: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Rates, then the collector alone."""
    place_for_spool = "/dev/shm" if os.access("/dev/shm", os.W_OK) else options.folder
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mirror-", dir=place_for_spool) as folder:
        print(f"\nrag calls that do nothing, handed off for {SECONDS:g} s, spool in {place_for_spool}")
        heads = f"{'calls/s':>10}{'lost %':>9}{'own us':>9}{'collector':>11}{'calls/s/core':>14}"
        print(f"  {'':<44}{heads}")
        for name, measured in (("mirror, ring", _rates), ("mirror, kept", _collector)):
            worker = Worker(name, sink=options.sink, folder=Path(folder) / name.replace(", ", "-"))
            with _reader(worker.folder / "spool"):
                results[name] = measured(worker)
                worker.ask("finish")
            worker.close()
    rates, records = results["mirror, ring"], results["mirror, kept"]
    sustained = rates.get("sustained", {"calls/s": 0.0, "calls/s/core": 0.0})
    print(f"  collector alone: {records:,.0f} records a second of its CPU")
    goals.check("G8", "calls/s on one core with nothing lost, collector included", sustained["calls/s"], least=50_000)
    goals.check("G8", "calls per CPU second, collector included", sustained["calls/s/core"], least=50_000)
    goals.check("G8", "records per CPU second of the collector", records, least=80_000)
    return {"rates": rates, "collector": records}
