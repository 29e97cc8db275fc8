"""SIGKILL at any moment, to the application, to the collector, to the reader: no frame that was handed over is lost."""

import mmap
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the ring is Linux's")

# Hands numbered frames over as fast as it can, and stores how many in a file that outlives it.
APPLICATION = """
import mmap, struct, sys, time
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]), ring=sys.argv[3] == "ring")
with open(sys.argv[2], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 24)
if sys.argv[3] == "ring":
    transport._look()
    while not transport.ring:
        time.sleep(0.005)
        transport._look()
    shared[8:16] = struct.pack("<Q", transport.collector)
n = 0
body = b"x" * 2000
pack = struct.Struct("<Q").pack
shared[16:24] = pack(1)
while True:
    if transport.offer(pack(n) + body[: n % 2000]) is None:
        n += 1
        shared[0:8] = pack(n)
    else:
        time.sleep(0.001)
"""


class Application:
    """One that writes until it is killed."""

    def __init__(self, folder: Path, way: str) -> None:
        self.path = folder.parent / f"shared-{folder.name}"
        self.path.write_bytes(bytes(24))
        self.running = subprocess.Popen([sys.executable, "-c", APPLICATION, str(folder), str(self.path), way])
        with self.path.open("r+b") as file:
            self.shared = mmap.mmap(file.fileno(), 24)
        end = time.monotonic() + 30
        while not self.number(16):
            assert time.monotonic() < end
            assert self.running.poll() is None
            time.sleep(0.005)

    def number(self, at: int) -> int:
        return struct.unpack_from("<Q", self.shared, at)[0]

    @property
    def handed_over(self) -> int:
        return self.number(0)

    @property
    def collector(self) -> int:
        return self.number(8)

    def kill(self) -> int:
        self.running.kill()
        self.running.wait()
        return self.handed_over


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def wait_for(pid: int) -> None:
    end = time.monotonic() + 30
    while pid and not gone(pid):
        assert time.monotonic() < end, "the collector does not end"
        time.sleep(0.005)


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


@pytest.mark.parametrize("way", ["ring", "spool"])
def test_a_killed_application_loses_nothing(tmp_path: Path, way: str) -> None:
    """Five kills at random moments."""
    rng = random.Random(5)
    for n in range(5):
        kill_the_application(tmp_path / str(n), way, rng.uniform(0.0, 0.1))


@pytest.mark.slow
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
    first = application.collector
    time.sleep(0.05)
    os.kill(first, signal.SIGKILL)
    time.sleep(1.0)  # its death is noticed within 64 frames, and a second one started
    handed_over = application.kill()
    end = time.monotonic() + 30
    found: set[int] = set()
    while len(found) < handed_over and time.monotonic() < end:
        more, damaged = numbers(tmp_path / "spool")
        found |= set(more)
        assert damaged <= 1  # the first collector's last write
        time.sleep(0.05)
    assert found >= set(range(handed_over))


def test_a_stopped_collector_is_gone_round(tmp_path: Path) -> None:
    """SIGSTOP: frames go into the spool directly after two seconds; what is in the ring comes when it goes on."""
    application = Application(tmp_path / "spool", "ring")
    os.kill(application.collector, signal.SIGSTOP)
    try:
        time.sleep(2.5)
        before = application.handed_over
        time.sleep(0.5)
        after = application.handed_over
    finally:
        os.kill(application.collector, signal.SIGCONT)
    assert after > before
    time.sleep(0.1)
    handed_over = application.kill()
    wait_for(application.collector)
    found, damaged = numbers(tmp_path / "spool")
    assert sorted(set(found))[:handed_over] == list(range(handed_over))
    assert damaged <= 1


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
