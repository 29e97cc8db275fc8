"""What stands beside an application: a forked job's price, and the memory and descriptors of 50 experiments.

    python -m benchmarks.beside [jobs]

Jobs alternate: a bare one, one that is not sampled, one that is mirrored. A job is a fork, one call, and the child's
end, as a queue that forks for each job has it; where other work is done as well its processor time is what counts.
Descriptors and memory are counted, not timed: those of this process beyond what it had, its collector's, and files in
memory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from shadoweval import Experiment
from shadoweval.settings import Settings

JOBS = 150
EXPERIMENTS = 50
MIRRORED_MS, UNMIRRORED_MS = 5.0, 0.5
DESCRIPTORS, MEGABYTES = 40, 60


def answer(question: str) -> str:
    return question


def experiments(home: Path, count: int, *, sample: float) -> list[Callable[[str], str]]:
    made = [
        Experiment(name=f"e{n}", candidates={"b": "benchmarks.beside:answer"}, settings=Settings(home=str(home)))
        for n in range(count)
    ]
    return [experiment.mirror(sample=sample, control=0.0)(answer) for experiment in made]


def job(call: Callable[[str], str]) -> tuple[float, float]:
    """Milliseconds of the processor that the child took, and until its parent had it back."""
    began = time.perf_counter()
    child = os.fork()
    if not child:
        call("a question")
        os._exit(0)
    used = os.wait4(child, 0)[2]
    return 1e3 * (used.ru_utime + used.ru_stime), 1e3 * (time.perf_counter() - began)


def jobs(folder: Path, count: int) -> bool:
    calls = {
        "bare": answer,
        "not sampled": experiments(folder / "a", 1, sample=0.0)[0],
        "mirrored": experiments(folder / "b", 1, sample=1.0)[0],
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for n in range(count + 20):
        for name, call in calls.items():
            spent = job(call)
            if n >= 20:  # the first ones start the collector
                took[name].append(spent)
    cpu, wall = ({name: sorted(each[at] for each in took[name]) for name in calls} for at in (0, 1))
    low = {name: each[len(each) // 20] for name, each in wall.items()}
    print(
        f"forked job, {count} of each kind: bare {median(cpu['bare']):.2f} ms of CPU, {low['bare']:.2f} until its end"
    )
    met = True
    for name, most in (("not sampled", UNMIRRORED_MS), ("mirrored", MIRRORED_MS)):
        added = median(cpu[name]) - median(cpu["bare"])
        met &= added <= most
        said = f"+{added:.2f} ms of CPU (median), +{low[name] - low['bare']:.2f} ms until its end (5th in 100)"
        print(f"  {name}: {said}: {'ok' if added <= most else 'MISSED'}, at most +{most}")
    return met


def descriptors_of(pid: int | str | None) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def _resident(pid: int | str) -> tuple[float, float]:
    """Megabytes of its own, and of shared memory."""
    found = {"Anonymous": 0.0, "Pss": 0.0, "Pss_Shmem": 0.0}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name in found:
            found[name] = int(rest.split()[0]) / 1024
    return found["Pss"], found["Pss_Shmem"]


def many(folder: Path) -> bool:
    experiments(folder / "warm", 1, sample=0.0)[0]("a question")
    before, own = descriptors_of("self"), _resident("self")[0]
    calls = experiments(folder / "many", EXPERIMENTS, sample=1.0)
    from shadoweval.transport import shared_transport

    transport = shared_transport(folder / "many" / "spool" / "e0")
    until = time.monotonic() + 60
    while not transport.collector and time.monotonic() < until:
        for call in calls:
            call("a question")
        time.sleep(0.05)
    for call in calls * 20:
        call("a question" * 100)
    time.sleep(1.0)
    collector = transport.collector
    descriptors = descriptors_of("self") - before, descriptors_of(collector)
    memory = _resident("self")[0] - own, _resident(collector)[0]
    files = sum(path.stat().st_blocks * 512 for path in transport.way.folder.rglob("*") if path.is_file()) / 1024**2
    met = sum(descriptors) <= DESCRIPTORS and sum(memory) + files <= MEGABYTES
    print(f"{EXPERIMENTS} experiments, {EXPERIMENTS * 20} calls: {'ok' if met else 'MISSED'}")
    print(f"  descriptors: {descriptors[0]} in the process, {descriptors[1]} in its collector (at most {DESCRIPTORS})")
    print(
        f"  MB: {memory[0]:.1f} in the process, {memory[1]:.1f} in its collector, "
        f"{files:.1f} in files there (at most {MEGABYTES})"
    )
    return met


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        met = [many(Path(folder)), jobs(Path(folder), count)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    raise SystemExit(main())
