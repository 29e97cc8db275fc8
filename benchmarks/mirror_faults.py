"""Calls while what is behind the ring fails: what they cost then, and whether every one is accounted for (goal G7).

Each fault has an experiment of its own. In a round each of them gets its fault and a block of calls at once, and
four more when the fault has lasted for more than the two seconds after which a collector counts as silent. Then it is
mended. What calls add is compared with an experiment that has no fault. At the end a killed collector is killed once
more, with frames in the ring, and its application closes; then the spool is read: every call must be in it, or counted
as left alone or lost; no frame may be torn.
"""

import argparse
import contextlib
import statistics
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.mirror_injection import FAULTS, Fault
from benchmarks.mirror_processes import Worker
from benchmarks.mirror_tables import Goals
from benchmarks.mirror_worker import quantiles
from shadoweval.codec import decode_envelope
from shadoweval.transport import SpoolReceiver

__all__ = ["faults"]

LASTS = 2.5
ROUNDS = 5
BLOCKS = 4
PATIENCE = 20.0
NORMAL = "no fault"
Round = dict[str, dict[str, dict[str, Any]]]


def _blocks(worker: Worker, *, count: int) -> dict[str, float]:
    """Several blocks, quantiles of their calls together. A ring that is emptied holds each of them, not all."""
    blocks = [worker.run(workload="rag", count=count, raw=True) for _ in range(BLOCKS)]
    return quantiles(sorted(each / 1e6 for block in blocks for each in block["times"]))


def _round(faults_: Mapping[str, Fault], bare: Worker, *, count: int) -> Round:
    """Both phases; the second comes when the fault is old."""
    found: Round = {"at once": {}, "later": {}}
    found["at once"]["bare"] = bare.run(workload="rag", count=count)
    for name, fault in faults_.items():
        with fault.hurrying():
            fault.inject()
            found["at once"][name] = fault.worker.run(workload="rag", count=count)
    time.sleep(LASTS)
    found["later"]["bare"] = _blocks(bare, count=count)
    for name, fault in faults_.items():
        with fault.hurrying():
            found["later"][name] = _blocks(fault.worker, count=count)
            fault.mend()
    for fault in faults_.values():
        fault.worker.ask("drain")
    return found


def _stored(receiver: SpoolReceiver, expected: int) -> tuple[set[str], int, int]:
    """Different envelopes of a spool, frames, and torn ones; waits while a collector is still at it."""
    stored, seen, torn = set[str](), 0, 0
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and len(stored) < expected:
        batch = receiver.receive(500)
        if batch is None:
            time.sleep(0.1)
            continue
        stored.update(decode_envelope(frame).id for frame in batch.frames)
        seen, torn = seen + len(batch.frames), torn + len(batch.corrupt)
        batch.settle()
    receiver.close()
    return stored, seen, torn


def accounted(fault: Fault) -> dict[str, int]:
    """Where each call of an experiment is; `unaccounted` must be 0."""
    fault.last()
    calls = fault.worker.ask("finish")["calls"]
    fault.worker.close()
    fault.release()
    receiver = SpoolReceiver(fault.spool)
    counts = receiver.counters()
    stored, seen, torn = _stored(receiver, counts.get("mirrored", 0))
    fault.close()
    control, mirrored = counts.get("control", 0), counts.get("mirrored", 0)
    lost = {name: n for name, n in counts.items() if name not in {"eligible", "mirrored", "control"}}
    gaps = (calls - counts["eligible"], calls - control - mirrored - sum(lost.values()), mirrored - len(stored))
    row = {"calls": calls, "left alone": control, "stored": len(stored), "twice": seen - len(stored), "torn": torn}
    return {**row, "unaccounted": sum(abs(gap) for gap in gaps), **lost}


def _added(rounds: list[Round], phase: str, name: str) -> dict[str, float]:
    """Microseconds over the bare function, median of the rounds."""
    return {
        what: statistics.median(one[phase][name][what] - one[phase]["bare"][what] for one in rounds) * 1e6
        for what in ("p50", "p99")
    }


def _costs(rounds: list[Round], names: list[str], goals: Goals) -> dict[str, Any]:
    numbers: dict[str, Any] = {name: {p: _added(rounds, p, name) for p in ("at once", "later")} for name in names}
    print(f"  {'':<20}{'+p50 us at once':>16}{'+p99 us':>10}{'+p50 us later':>16}{'+p99 us':>10}")
    for name, row in numbers.items():
        cells = "".join(f"{row[phase]['p50']:>16.2f}{row[phase]['p99']:>10.1f}" for phase in ("at once", "later"))
        print(f"  {name:<20}{cells}")
    for name in names[1:]:
        for phase in ("at once", "later"):
            now, normal = numbers[name][phase], numbers[NORMAL][phase]
            text = f"{name}, {phase}: added p50 as a share of that without a fault"
            goals.check("G7", text, now["p50"] / normal["p50"], most=1.25)
            text = f"{name}, {phase}: added p99 over that without a fault, ms"
            goals.check("G7", text, (now["p99"] - normal["p99"]) / 1e3, most=0.1)
    return numbers


def _accounts(faults_: Mapping[str, Fault], goals: Goals) -> dict[str, Any]:
    rows = {name: accounted(fault) for name, fault in faults_.items()}
    for name, row in rows.items():
        print(f"  {name:<20}" + ", ".join(f"{count:,} {what}" for what, count in row.items()))
    for name, row in rows.items():
        goals.check("G7", f"{name}: calls neither stored nor counted", row["unaccounted"], most=0)
        goals.check("G7", f"{name}: torn frames", row["torn"], most=0)
    return rows


def faults(_: dict[str, Worker], options: argparse.Namespace, goals: Goals) -> dict[str, Any]:
    """Each fault that can be injected here."""
    with contextlib.ExitStack() as stack:
        injected: dict[str, Fault] = {}
        for kind in FAULTS:
            fault = kind(options)
            stack.callback(fault.close)
            why = fault.begin()
            if why is None:
                injected[fault.name] = fault
            else:
                print(f"{fault.name}: skipped, {why}")
        bare = Worker("bare", sink=options.sink, folder=options.folder / "bare")
        stack.callback(bare.close)
        _round(injected, bare, count=options.calls // 2)
        rounds = [_round(injected, bare, count=options.calls) for _ in range(ROUNDS)]
        print(f"\nrag back to back while something fails ({options.calls} calls at once, {BLOCKS} times as many later)")
        costs = _costs(rounds, list(injected), goals)
        slow = {name: fault.rescued for name, fault in injected.items() if fault.rescued}
        for name, times in slow.items():
            print(f"  {name}: calls hung until the fault was taken away, {times} times")
        goals.check("G7", "blocks of calls that hung on a fault", sum(slow.values()), most=0)
        return {"costs": costs, "accounts": _accounts(injected, goals)}
