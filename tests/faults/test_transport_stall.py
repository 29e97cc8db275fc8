"""A disk that answers nothing (a stalled volume, fsfreeze): no call waits for it, and no count is lost."""

import contextlib
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="fsfreeze is Linux's")

# Calls something mirrored again and again, and stores how often in a file that lies on another disk.
APPLICATION = """
import mmap, struct, sys, time
from pathlib import Path
from shadoweval.mirror import Mirror
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]))
with open(sys.argv[2], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 16)
@Mirror("x", transport, control=0.1)
def answer(question):
    return question
n = 0
while not shared[8]:
    answer("x" * 100)
    n += 1
    if transport.ring:
        shared[0:8] = struct.pack("<Q", n)
    time.sleep(0.0005)
transport.close()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 of its own."""
    tools = ("mount", "umount", "fsfreeze", "mkfs.ext4")
    if os.geteuid() != 0 or any(shutil.which(tool) is None for tool in tools):
        pytest.skip(f"needs root and {', '.join(tools)}")
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    mounted = subprocess.run(["mount", "-o", "loop", str(image), str(place)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no loop mount here: {mounted.stderr.decode()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextlib.contextmanager
def frozen(disk: Path) -> Iterator[None]:
    subprocess.run(["sync", "-f", str(disk)], check=True)  # clean pages: the next store into one waits
    done = subprocess.run(["fsfreeze", "-f", str(disk)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"it can't be frozen: {done.stderr.decode()}")
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "-u", str(disk)], check=True)


def test_a_frozen_disk_hangs_no_call(tmp_path: Path, disk: Path) -> None:
    """Calls go on for three seconds, longer than a collector may be silent; then every one is counted, and stored."""
    path = tmp_path / "shared"
    path.write_bytes(bytes(16))
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), 16)

    def calls() -> int:
        return struct.unpack_from("<Q", shared)[0]

    application = subprocess.Popen([sys.executable, "-c", APPLICATION, str(disk / "spool"), str(path)])
    try:
        until(lambda: calls() > 100)
        with frozen(disk):
            began = time.monotonic()
            for _ in range(6):
                seen = calls()
                until(lambda seen=seen: calls() >= seen + 50)
                time.sleep(0.5)
            assert time.monotonic() - began >= 3
        shared[8] = 1
        assert application.wait(30) == 0
    finally:
        application.kill()
        application.wait()
    receiver = SpoolReceiver(disk / "spool")
    found = 0

    def all_there() -> bool:
        nonlocal found
        while (batch := receiver.receive(1000)) is not None:
            found += len(batch.frames)
            batch.settle()
        counted = receiver.counters()
        return counted["eligible"] == calls() and found == counted["mirrored"]

    until(all_there)
    assert sum(count for name, count in receiver.counters().items() if name != "eligible") == calls()
    assert receiver.histogram("mirrored")
    receiver.close()
