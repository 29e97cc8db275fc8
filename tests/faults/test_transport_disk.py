"""Disks that are full, read-only or gone: a reason and a count, never an exception, and no torn record."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver, SpoolTransport
from shadoweval.transport import spool as spool_module


def drained(folder: Path) -> tuple[list[bytes], int]:
    receiver = SpoolReceiver(folder)
    frames: list[bytes] = []
    damage = 0
    while (batch := receiver.receive(100)) is not None:
        frames += batch.frames
        damage += len(batch.corrupt)
        batch.settle()
    receiver.close()
    return frames, damage


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a broken folder again at once."""
    monkeypatch.setattr(spool_module, "_RETRY", 0.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system; RLIMIT_FSIZE below is tried by everyone")
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no mount here: {made.stderr.decode()}")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


def test_a_full_disk_is_a_reason_and_frames_before_and_after_are_whole(small_disk: Path) -> None:
    """What does not fit is refused as `full`; when there is room again it goes on."""
    writer = SpoolTransport(small_disk / "spool")
    sent: list[bytes] = []
    told: list[str | None] = []
    for n in range(40):
        frame = bytes([n]) * 50_000
        told.append(writer.offer(frame))
        if told[-1] is None:
            sent.append(frame)
    assert set(told) == {None, "full"}
    assert 10 <= len(sent) < 25
    writer.ledger.main.add("eligible")
    receiver = SpoolReceiver(small_disk / "spool")
    batch = receiver.receive(100)
    assert batch is not None
    assert batch.frames == sent
    assert batch.corrupt == []
    receiver.close()
    (small_disk / "ballast").write_bytes(b"")
    for path in (small_disk / "spool").glob("*.seg"):
        path.unlink()
    writer._segments.close()
    assert writer.offer(b"again") is None


def test_a_cursor_on_a_full_disk_is_not_lost(small_disk: Path) -> None:
    """Settling that fails says so; frames come again, none is skipped."""
    writer = SpoolTransport(small_disk / "spool")
    for n in range(3):
        assert writer.offer(str(n).encode()) is None
    receiver = SpoolReceiver(small_disk / "spool")
    batch = receiver.receive(2)
    assert batch is not None
    batch.settle()
    with (small_disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    batch = receiver.receive(2)
    assert batch is not None
    with pytest.raises(OSError, match="space"):
        batch.settle()
    again = receiver.receive(2)
    assert again is not None
    assert again.frames == batch.frames == [b"2"]
    (small_disk / "ballast").unlink()
    again.settle()
    assert receiver.receive(2) is None
    receiver.close()
    writer.close()


def test_a_file_size_limit_leaves_no_torn_frame(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts a write in the middle: the part is taken back, and later frames go into a new segment."""
    writer = SpoolTransport(tmp_path / "spool")
    writer.ledger.main.add("eligible")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        told = [writer.offer(bytes([n]) * 30_000) for n in range(8)]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert set(told) == {None, "full"}
    writer.close()
    frames, damage = drained(tmp_path / "spool")
    assert frames == [bytes([n]) * 30_000 for n, reason in enumerate(told) if reason is None]
    assert damage == 0


def test_a_read_only_folder_is_a_reason(tmp_path: Path, small_disk: Path) -> None:
    """Also when it turns read-only while in use, and it is used again when it is writable again."""
    writer = SpoolTransport(small_disk / "spool", segment_bytes=100)
    writer.ledger.open()
    assert writer.offer(b"a" * 90) is None
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    if subprocess.run(remount, capture_output=True, check=False).returncode:  # files open for writing keep it writable
        writer.close()
        for counters in (writer.ledger.main, writer.ledger.mirrored, writer.ledger.control):
            counters.close()
        writer.ledger.forked()
        if subprocess.run(remount, capture_output=True, check=False).returncode:
            pytest.skip("it can't be made read-only while counters are mapped")
    assert writer.offer(b"b" * 90) == "transport_error"
    assert SpoolTransport(small_disk / "other").offer(b"c") == "transport_error"
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert writer.offer(b"d" * 90) is None
    assert drained(small_disk / "spool")[0] == [b"a" * 90, b"d" * 90]


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    """Nothing is written into files that nobody can find; counters follow."""
    folder = tmp_path / "spool"
    writer = SpoolTransport(folder)
    assert writer.offer(b"lost with the folder") is None
    writer.ledger.main.add("eligible", 2)
    shutil.rmtree(folder)
    told = [writer.offer(str(n).encode()) for n in range(3)]
    assert told.count(None) >= 2
    frames, damage = drained(folder)
    assert frames == [str(n).encode() for n, reason in enumerate(told) if reason is None]
    assert damage == 0
    writer.ledger.main.add("eligible")
    receiver = SpoolReceiver(folder)
    assert receiver.counters()["eligible"] == 3
    receiver.close()
    writer.close()


def test_the_cap_of_the_spool_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not come lets the spool grow to its cap only; when it came, frames are taken again."""
    monkeypatch.setattr(spool_module, "_LOOK", 0.0)
    writer = SpoolTransport(tmp_path / "spool", segment_bytes=10_000, cap_bytes=100_000)
    told = [writer.offer(b"x" * 5_000) for _ in range(40)]
    assert told.count(None) == 19
    assert set(told[19:]) == {"full"}
    drained(tmp_path / "spool")
    assert writer.offer(b"y" * 5_000) is None
    writer.close()


def test_a_broken_folder_is_not_tried_for_every_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand calls on a broken folder cost next to nothing."""
    monkeypatch.setattr(spool_module, "_RETRY", 60.0)
    (tmp_path / "file").write_text("in the way")
    writer = SpoolTransport(tmp_path / "file" / "spool")
    began = time.thread_time()
    for _ in range(10_000):
        assert writer.offer(b"x") == "transport_error"
    assert time.thread_time() - began < 1.0


LEAVE = {
    "return": "",
    "exit": "sys.exit(3)",
    "raise": "raise RuntimeError('bye')",
    "os._exit": "import os; os._exit(4)",
    "kill": "import os; os.kill(os.getpid(), 9)",
}
PROGRAM = """
import sys, time
from pathlib import Path
from shadoweval.mirror import Mirror
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]), ring=sys.argv[2] == "ring")
@Mirror("x", transport, control=0.0)
def answer(question):
    return question
answer("first")
if sys.argv[2] == "ring":
    end = time.monotonic() + 60
    while not transport.collector and time.monotonic() < end:
        time.sleep(0.01)
        transport.way.look()
for n in range(500):
    answer(str(n))
"""


@pytest.mark.parametrize("leave", sorted(LEAVE))
@pytest.mark.parametrize("way", ["ring", "spool"])
def test_a_process_that_ends_with_work_pending_loses_nothing(tmp_path: Path, way: str, leave: str) -> None:
    """However it ends: frames handed over before the end are there after it."""
    if way == "ring" and sys.platform != "linux":
        pytest.skip("no ring on this system")
    command = [sys.executable, "-c", PROGRAM + LEAVE[leave], str(tmp_path / "spool"), way]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False, timeout=60)
    receiver = SpoolReceiver(tmp_path / "spool")
    found = 0
    end = time.monotonic() + 60
    while found < 501 and time.monotonic() < end:
        batch = receiver.receive(1000)
        if batch is None:
            time.sleep(0.02)
            continue
        found += len(batch.frames)
        assert batch.corrupt == []
        batch.settle()
    assert found == 501
    assert receiver.counters() == {"eligible": 501, "mirrored": 501}
    receiver.close()


MEMORIES = {
    "full": "mount -t tmpfs -o size=16k tmpfs /dev/shm",
    "small": "mount -t tmpfs -o size=3m tmpfs /dev/shm",
    "read-only": "mount -t tmpfs -o ro tmpfs /dev/shm",
    "a folder on a disk": "mount --bind {folder} /dev/shm",
}
ON_ANOTHER = """
import os, sys, time
from pathlib import Path
from shadoweval.mirror import Mirror
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]))
@Mirror("x", transport, control=0.0)
def answer(question):
    return question
for n in range(500):
    answer("x" * 5000)
for child in range(3):
    if not os.fork():
        answer("a child's")
        os._exit(0)
    os.wait()
"""


@pytest.mark.parametrize("leave", ["return", "kill"])
@pytest.mark.parametrize("memory", sorted(MEMORIES))
def test_whatever_shared_memory_there_is_nothing_is_lost(tmp_path: Path, memory: str, leave: str) -> None:
    """Full, small as a container's, read-only, a disk: calls go the way that there is, and are counted."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can mount another /dev/shm")
    (tmp_path / "disk" / "empty").mkdir(parents=True)
    mount = MEMORIES[memory].format(folder=tmp_path / "disk")
    program = ON_ANOTHER + LEAVE[leave]
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            f'{mount} && exec "$@"',
            "sh",
            sys.executable,
            "-c",
            program,
            str(tmp_path / "s" / "x"),
        ],
        stderr=subprocess.PIPE,
        check=False,
        timeout=100,
    )
    if b"unshare" in done.stderr or b"mount:" in done.stderr:
        pytest.skip(done.stderr.decode())
    found = 0
    end = time.monotonic() + 60
    receiver = SpoolReceiver(tmp_path / "s" / "x")
    while time.monotonic() < end:
        batch = receiver.receive(1000)
        if batch is not None:
            found += len(batch.frames)
            assert batch.corrupt == []
            batch.settle()
        counted = receiver.counters()
        if counted.get("eligible") == 503 and found >= counted.get("mirrored", 0):
            break
        time.sleep(0.02)
    assert counted["eligible"] == 503, done.stderr
    assert found == counted["mirrored"] == 503 - counted.get("full", 0)
    assert found >= 250
    receiver.close()


FIRST = """
import os, sys, time
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]))
assert os.getpid() == 1
while not transport.collector:
    time.sleep(0.01)
    transport.ledger.count(transport.offer(b"x" * 3000) or "mirrored")
for n in range(500):
    transport.ledger.count(transport.offer(b"x" * 3000) or "mirrored")
print(transport.ledger.main.snapshot()["mirrored"])
"""


def test_a_containers_first_process_takes_nothing_with_it(tmp_path: Path) -> None:
    """All others end with it, and so does their memory: at its end it waits until the collector has everything."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("only root can be the first process of a space of its own")
    folder = tmp_path / "s" / "x"
    script = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", script, "sh", sys.executable, "-c", FIRST]
    done = subprocess.run([*command, str(folder)], capture_output=True, check=False, timeout=100)
    if b"unshare" in done.stderr or b"mount:" in done.stderr:
        pytest.skip(done.stderr.decode())
    mirrored = int(done.stdout)
    frames, damage = drained(folder)
    assert (len(frames), damage) == (mirrored, 0)
    receiver = SpoolReceiver(folder)
    assert receiver.counters()["mirrored"] == mirrored
    receiver.close()
