"""SIGKILL at any moment, to the application, to the collector, to the reader: no frame that was handed over is lost.

Nor is a count: eligible calls are those handed over and those lost, exactly.
"""

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver
from shadoweval.transport.totals import total
from tests.waiting import gone, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the ring is Linux's")

# Hands numbered frames over as fast as it can, counts them as a mirror does, and stores how many were handed over and
# lost in a file that outlives it.
APPLICATION = """
import mmap, struct, sys, time
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]), ring=sys.argv[3] == "ring")
with open(sys.argv[2], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 32)
if sys.argv[3] == "ring":
    transport.ledger.open()
    while not transport.collector:
        transport.way.look()
        time.sleep(0.005)
n, collector = 0, None
body = b"x" * 2000
pack = struct.Struct("<Q").pack
while True:
    reason = transport.offer(pack(n) + body[: n % 2000])
    transport.ledger.count(reason or "mirrored")
    transport.ledger.mirrored.add(str(n % 128))
    if reason is None:
        n += 1
        shared[0:8] = pack(n)
    else:
        shared[24:32] = pack(struct.unpack_from("<Q", shared, 24)[0] + 1)
        time.sleep(0.001)
    if sys.argv[3] == "ring" and transport.collector not in {collector, None}:
        collector = transport.collector
        shared[8:16] = pack(collector)
    shared[16:24] = pack(1)
"""


class Application:
    """One that writes until it is killed."""

    def __init__(self, folder: Path, way: str) -> None:
        self.path = folder.parent / f"shared-{folder.name}"
        self.path.write_bytes(bytes(32))
        self.running = subprocess.Popen([sys.executable, "-c", APPLICATION, str(folder), str(self.path), way])
        with self.path.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 32)
        until(lambda: self.number(16) or self.running.poll() is not None)
        assert self.running.poll() is None

    def number(self, at: int) -> int:
        return struct.unpack_from("<Q", self.shared, at)[0]

    @property
    def handed_over(self) -> int:
        return self.number(0)

    @property
    def lost(self) -> int:
        return self.number(24)

    @property
    def collector(self) -> int:
        return self.number(8)

    def kill(self) -> int:
        self.running.kill()
        self.running.wait()
        return self.handed_over

    def wait_for_another(self, collector: int) -> None:
        until(lambda: self.collector not in {0, collector})


def wait_for(pid: int) -> None:
    until(lambda: not pid or gone(pid), said=lambda: "the collector does not end")


def numbers(folder: Path) -> tuple[list[int], int]:
    """Numbers of all frames, checked to be whole, and how many stretches are damaged."""
    receiver = SpoolReceiver(folder)
    found: list[int] = []
    damaged = 0
    while (batch := receiver.receive(100_000)) is not None:
        for frame in batch.frames:
            n = struct.unpack_from("<Q", frame)[0]
            assert frame[8:] == b"x" * (n % 2000)
            found.append(n)
        damaged += len(batch.corrupt)
        batch.settle()
    receiver.close()
    return found, damaged


def kill_the_application(folder: Path, way: str, after: float) -> None:
    application = Application(folder, way)
    time.sleep(after)
    handed_over = application.kill()
    wait_for(application.collector)
    found, damaged = numbers(folder)
    # The one in flight may be there as well: it was published, and its number not yet stored.
    assert found[:handed_over] == list(range(handed_over))
    assert len(found) <= handed_over + 1
    assert damaged <= (way == "spool")  # a write() cut short by the kill is the torn tail
    assert handed_over
    counted_as_handed_over(folder, application)


def counted_as_handed_over(folder: Path, application: Application) -> None:
    """Every call is counted once, whoever was killed; the kill may have come between counting and storing one."""
    found, bins = total(folder, "main"), total(folder, "mirrored")
    assert 0 <= found["mirrored"] + found.get("full", 0) - found["eligible"] <= 1  # two steps
    assert 0 <= found["mirrored"] - application.handed_over <= 1
    assert 0 <= found.get("full", 0) - application.lost <= 1
    assert found["eligible"] - 1 <= sum(bins.values()) <= found["eligible"]


def check(folder: Path, application: Application, *, killed: int) -> None:
    """After `killed` collectors: every frame is there, perhaps twice; every count is there, once."""
    handed_over = application.kill()
    wait_for(application.collector)
    found, damaged = numbers(folder)
    assert set(found) >= set(range(handed_over))
    assert damaged <= killed  # the collectors' last writes
    counted_as_handed_over(folder, application)


@pytest.mark.parametrize("way", ["ring", "spool"])
def test_a_killed_application_loses_nothing(tmp_path: Path, way: str) -> None:
    """Five kills at random moments."""
    rng = random.Random(5)
    for n in range(5):
        kill_the_application(tmp_path / str(n), way, rng.uniform(0.0, 0.1))


@pytest.mark.marathon
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("way", ["ring", "spool"])
def test_two_hundred_kills_lose_nothing(tmp_path: Path, way: str) -> None:
    """The same two hundred times."""
    rng = random.Random(200)
    for n in range(200):
        kill_the_application(tmp_path / str(n), way, rng.uniform(0.0, 0.15))


def test_a_killed_collector_loses_nothing(tmp_path: Path) -> None:
    """The application starts another, which goes on where the ring says; a frame may come twice, none is missing."""
    application = Application(tmp_path / "spool", "ring")
    for _ in range(3):
        collector = application.collector
        before = application.handed_over
        until(lambda before=before: application.handed_over >= before + 500)
        os.kill(collector, signal.SIGKILL)  # noticed within 64 frames
        application.wait_for_another(collector)
    check(tmp_path / "spool", application, killed=3)


def test_a_stopped_collector_is_replaced(tmp_path: Path) -> None:
    """SIGSTOP: two seconds later another goes on with what is in the ring; the application's calls go on meanwhile."""
    application = Application(tmp_path / "spool", "ring")
    first = application.collector
    os.kill(first, signal.SIGSTOP)
    wait_for(first)
    application.wait_for_another(first)
    before = application.handed_over
    until(lambda: application.handed_over >= before + 200)
    check(tmp_path / "spool", application, killed=1)


def kill_together(root: Path, kills: int, seed: int) -> None:
    """Application and collector, in either order, one after another in one home; then a look finds all of it."""
    rng = random.Random(seed)
    applications: list[Application] = []
    for n in range(kills):
        application = Application(root / str(n), "ring")
        applications.append(application)
        time.sleep(rng.uniform(0.0, 0.1))
        both = [application.running.pid, application.collector]
        rng.shuffle(both)
        for pid in both:
            os.kill(pid, signal.SIGKILL)
            time.sleep(rng.choice([0.0, 0.0, 0.002]))
        application.running.wait()
    wait_for(applications[-1].collector)  # it holds what it reads until it is gone
    for n, application in enumerate(applications):
        found, _ = numbers(root / str(n))
        assert set(found) >= set(range(application.handed_over))
        counted_as_handed_over(root / str(n), application)


def test_application_and_collector_killed_together_lose_nothing(tmp_path: Path) -> None:
    """What a container kill does to its processes: memory has the rest, and whoever comes next takes it."""
    kill_together(tmp_path, 20, seed=1)


@pytest.mark.marathon
@pytest.mark.timeout(1800)
def test_two_hundred_times_together_lose_nothing(tmp_path: Path) -> None:
    """The same two hundred times."""
    kill_together(tmp_path, 200, seed=2)


# Forks children that hand over and count until they are killed; each stores how often it did.
FORKING = """
import mmap, os, random, signal, struct, sys, time
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]))
rng = random.Random(int(sys.argv[3]))
children = int(sys.argv[2])
shared = mmap.mmap(-1, 16 * children)
for n in range(children):
    at = 16 * n
    child = os.fork()
    if not child:
        i = 0
        while True:
            reason = transport.offer(struct.pack("<QQ", n, i)) if n % 2 else "not_sampled"
            transport.ledger.count(reason or "mirrored")
            i += 1
            shared[at : at + 8] = struct.pack("<Q", i)
    while not shared[at : at + 8].strip(b"\\0"):
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
print(*struct.unpack(f"<{2 * children}Q", shared)[::2])
"""


def test_killed_children_lose_nothing(tmp_path: Path) -> None:
    """Forked jobs, mirrored and not: whatever they counted and handed over is there, and their parent did neither."""
    command = [sys.executable, "-c", FORKING, str(tmp_path / "spool" / "a"), "20", "7"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
    counted = [int(number) for number in done.stdout.split()]
    seen: Counter[int] = Counter()

    def all_there() -> bool:
        receiver = SpoolReceiver(tmp_path / "spool" / "a")
        while (batch := receiver.receive(100_000)) is not None:
            seen.update({struct.unpack("<QQ", frame) for frame in batch.frames})
            batch.settle()
        found = receiver.counters()
        receiver.close()
        return found.get("eligible", 0) >= sum(counted) and len(seen) >= found.get("mirrored", 0)

    until(all_there)
    found = total(tmp_path / "spool" / "a", "main")
    assert 0 <= found["eligible"] - sum(counted) <= len(counted)
    assert found["not_sampled"] >= sum(counted[::2])
    assert 0 <= len(seen) - found["mirrored"] <= len(counted)  # killed between handing over and counting
    assert found["mirrored"] + found.get("full", 0) >= sum(counted[1::2])


READER = """
import struct, sys
from pathlib import Path
from shadoweval.transport import SpoolReceiver
receiver = SpoolReceiver(Path(sys.argv[1]))
with open(sys.argv[2], "ab", buffering=0) as out:
    while True:
        batch = receiver.receive(20)
        if batch is not None:
            out.write(b"".join(frame[:8] for frame in batch.frames))
            batch.settle()
"""


def test_a_killed_reader_skips_nothing(tmp_path: Path) -> None:
    """Frames that were stored and not settled come again; none is passed over."""
    folder, stored = tmp_path / "spool", tmp_path / "stored"
    application = Application(folder, "spool")
    rng = random.Random(9)
    for _ in range(5):
        reader = subprocess.Popen([sys.executable, "-c", READER, str(folder), str(stored)])
        time.sleep(rng.uniform(0.1, 0.4))
        reader.kill()
        reader.wait()
    handed_over = application.kill()
    rest, _ = numbers(folder)
    content = stored.read_bytes() if stored.exists() else b""
    seen = {n for (n,) in struct.iter_unpack("<Q", content[: len(content) // 8 * 8])}
    assert seen | set(rest) >= set(range(handed_over))
