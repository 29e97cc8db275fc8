"""What the guard costs: its set-up, and ordinary code under it, as ratios of one interleaved run.

    python benchmarks/containment.py [--rounds 15] [--json out.json]

A warm process forks one child per measurement, in shuffled order: bare, guarded, guarded without the audit hook. Ratios
are medians over the rounds of (guarded / bare of the same round). A guarded one contains itself as a fork server does,
and forks the child that is measured; set-up is the time in which that one narrows itself.
"""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH100, PTH116, PTH123

from __future__ import annotations

import argparse
import asyncio
import contextlib
import copy
import gc
import json
import math
import os
import pathlib
import pickle
import random
import re
import resource
import select
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from shadoweval.candidate.guard import Endpoint, GuardPolicy, Supervisor, contain
from shadoweval.candidate.guard.policy import DEFAULT_LAYERS

MODES = {
    "bare": None,
    "guarded": DEFAULT_LAYERS,
    "without audit": tuple(layer for layer in DEFAULT_LAYERS if layer != "audit"),
}
SETUP = ("set-up ms", "set-up cpu ms", "of it page faults ms")
BARS = {"set-up ms": 1.5, "ordinary code": 1.15}
TEXT = "The quick brown fox jumps over the lazy dog. " * 20
DOCUMENT = {"numbers": list(range(50)), "nested": {"text": TEXT}}


def doubled(number: int) -> int:
    return 2 * number


class Thing:
    __slots__ = ("x",)

    def __init__(self) -> None:
        self.x = 1


def ordinary(read: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """What candidates do all day; nothing here needs an answer of the supervisor."""
    database = sqlite3.connect(":memory:")
    database.execute("create table t(a)")
    ours, theirs = socket.socketpair()

    async def switches() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    def sockets() -> None:
        for _ in range(10):
            ours.send(b"x" * 100)
            theirs.recv(100)

    def thread() -> None:
        started = threading.Thread(target=int)
        started.start()
        started.join()

    yield "json round trip", lambda: json.loads(json.dumps(DOCUMENT))
    yield "regular expression", lambda: re.findall(r"\w+", TEXT)
    yield "python calls x300", lambda: [doubled(n) for n in range(300)]
    yield "objects x200", lambda: [Thing() for _ in range(200)]
    yield "pickle round trip", lambda: pickle.loads(pickle.dumps(DOCUMENT))
    yield "read a file", lambda: pathlib.Path(read).read_bytes()
    yield "stat", lambda: os.stat(read)
    yield (
        "sqlite in memory",
        lambda: (
            database.execute("insert into t values (1)"),
            database.execute("select 1 from t limit 1").fetchone(),
        ),
    )
    yield "socket send, recv x10", sockets
    yield "asyncio.run", lambda: asyncio.run(switches())
    yield "thread", thread
    yield "deepcopy", lambda: copy.deepcopy(DOCUMENT)


def asked(scratch: str, address: tuple[str, int]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What the supervisor is asked about each time (and allows)."""
    ours, theirs = socket.socketpair()

    def connect() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as end:
            end.connect(address)

    def message() -> None:
        ours.sendmsg([b"x"])
        theirs.recv(1)

    def write() -> None:  # appends: truncating a file that was just written makes ext4 flush it
        with open(f"{scratch}/x", "ab") as file:
            file.write(b"x")

    yield "connect to an endpoint", connect
    yield "write a file in scratch", write
    yield "sendmsg", message


def fastest(step: Callable[[], object]) -> float:
    """Nanoseconds of one call, the least of seven repeats of about 2 ms."""
    for _ in range(3):
        step()
    start = time.perf_counter_ns()
    step()
    repeats = max(3, int(2e6 / max(time.perf_counter_ns() - start, 500)))
    best = math.inf
    for _ in range(7):
        start = time.perf_counter_ns()
        for _ in range(repeats):
            step()
        best = min(best, (time.perf_counter_ns() - start) / repeats)
    return best


PAGES = bytearray(b"x" * (256 * 4096))  # held before the fork, so that a child copies what it writes to


def fault_us() -> float:
    """Microseconds that copying one page of the parent takes in a fresh child."""
    start = time.process_time()
    for offset in range(0, len(PAGES), 4096):
        PAGES[offset] = 1
    copied = time.process_time()
    for offset in range(0, len(PAGES), 4096):
        PAGES[offset] = 2
    return (2 * copied - start - time.process_time()) / (len(PAGES) / 4096) * 1e6


def child(mode: str, policy: GuardPolicy, *, channel: int, go: int, report: int) -> None:
    """Measure, report, end."""
    measured: dict[str, float] = {}
    if MODES[mode] is not None:
        guard = contain(msgspec.structs.replace(policy, layers=MODES[mode]), on_refusal=channel)
        os.read(go, 1)
        with guard.forking():
            pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
            os._exit(0)
        start, used, faults = (
            time.perf_counter(),
            time.process_time(),
            resource.getrusage(resource.RUSAGE_SELF).ru_minflt,
        )
        guard.close_inherited((1, 2, report))
        guard.narrow(policy)
        measured["set-up ms"] = (time.perf_counter() - start) * 1e3
        measured["set-up cpu ms"] = (time.process_time() - used) * 1e3
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
        measured["of it page faults ms"] = faults * fault_us() / 1e3
    read = os.path.abspath(__file__)
    for name, step in (*ordinary(read), *asked(policy.scratch, (policy.allow[0].host, policy.allow[0].port))):
        measured[name] = fastest(step)
    os.write(report, json.dumps(measured).encode())
    os._exit(0)


def measure(mode: str, policy: GuardPolicy) -> dict[str, float]:
    """Fork one child and serve it."""
    supervisor = Supervisor(policy, phase="importing", child_policy=lambda _pid: policy)
    (reading, writing), (waiting, go) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(BaseException):
            child(mode, policy, channel=supervisor.candidate_fd, go=waiting, report=writing)
        os._exit(1)
    os.close(writing)
    os.close(waiting)
    supervisor.release()
    told = 0
    while not supervisor.finished:
        select.select([supervisor], [], [], 1.0)
        for refusal in supervisor.handle_ready():
            print("refused:", refusal)
        if supervisor.containment is not None and not told:
            supervisor.serve()
            supervisor.expect_forks(1)
            told = os.write(go, b"g")
    os.close(go)
    os.waitpid(pid, 0)
    with os.fdopen(reading) as answer:
        measured = json.load(answer)
    supervisor.close()
    return measured


def run(rounds: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """All rounds, modes shuffled within each: mode to name to values."""
    seen: dict[str, dict[str, list[float]]] = {mode: {} for mode in MODES}
    order = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch, socket.socket(type=socket.SOCK_DGRAM) as end:
        end.bind(("127.0.0.1", 0))
        policy = GuardPolicy(scratch=scratch, allow=(Endpoint(*end.getsockname()),), memory_bytes=1 << 30)
        for _ in range(rounds):
            for mode in order.sample(sorted(MODES), len(MODES)):
                for name, value in measure(mode, policy).items():
                    seen[mode].setdefault(name, []).append(value)
    return seen


def median(values: list[float]) -> float:
    """The middle one."""
    return sorted(values)[len(values) // 2]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def ratio(seen: dict[str, dict[str, list[float]]], mode: str, *, name: str) -> float:
    """Median over the rounds of guarded / bare."""
    return median([a / b for a, b in zip(seen[mode][name], seen["bare"][name], strict=True)])


def summary(seen: dict[str, dict[str, list[float]]]) -> dict[str, object]:
    """Ratios by name, their geometric mean over ordinary code, and the set-up's median."""
    names = list(seen["bare"])
    asked_names = names[-3:]
    ratios = {mode: {name: ratio(seen, mode, name=name) for name in names} for mode in MODES if mode != "bare"}
    means = {
        mode: math.exp(mean([math.log(value) for name, value in by.items() if name not in asked_names]))
        for mode, by in ratios.items()
    }
    setup = {kind: median(seen["guarded"][kind]) for kind in SETUP}
    setup |= {f"least {kind}": min(seen["guarded"][kind]) for kind in tuple(setup)}
    bare = {name: median(seen["bare"][name]) for name in names}
    return {"bare ns": bare, "ratios": ratios, "ordinary code": means, "asked": asked_names, "bars": BARS, **setup}


def show(figures: dict) -> None:
    """The table, and the bars."""
    print(f"{'':26s}{'bare us':>10s}{'guarded':>10s}{'without audit':>15s}   (ratio to bare)")
    for name, bare in figures["bare ns"].items():
        note = "   asks the supervisor" if name in figures["asked"] else ""
        ratios = [figures["ratios"][mode][name] for mode in ("guarded", "without audit")]
        print(f"{name:26s}{bare / 1e3:10.2f}{ratios[0]:10.3f}{ratios[1]:15.3f}{note}")
    means = figures["ordinary code"]
    row = f"{means['guarded']:10.3f}{means['without audit']:15.3f}"
    print(f"{'ordinary code (geom. mean)':36s}{row}   bar {BARS['ordinary code']}")
    for kind in SETUP:
        print(f"{kind}: median {figures[kind]:.2f}, least {figures['least ' + kind]:.2f}")
    print(f"bar of the set-up: {BARS['set-up ms']} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    gc.collect()
    gc.freeze()
    figures = summary(run(options.rounds, options.seed))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
