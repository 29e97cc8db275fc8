"""The ring's writing end: it never depends on a collector that is not there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shadoweval.priority import LEVEL
from shadoweval.transport import SpoolReceiver, SpoolTransport, open_transport

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport import hand_off
from shadoweval.transport.hand_off import RingTransport
from shadoweval.transport.ledger import total
from shadoweval.transport.locks import held
from shadoweval.transport.ring import Ring


def until(met: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not met():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def count(folder: Path) -> int:
    receiver, found = SpoolReceiver(folder), 0
    while (batch := receiver.receive(1000)) is not None:
        found += len(batch.frames)
        batch.settle()
    receiver.close()
    return found


def test_without_a_collector_frames_go_into_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that can't be started costs speed, not calls, and is tried more and more seldom."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    transport = RingTransport(tmp_path / "spool")
    assert [transport.offer(b"x") for _ in range(200)] == [None] * 200
    assert transport.collector is None
    assert transport._patience > hand_off._RESTART
    assert count(tmp_path / "spool") == 200
    transport.close()


def test_a_collector_that_dies_at_once_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It never showed that it lives."""
    monkeypatch.setattr(hand_off, "_PROGRAM", "raise SystemExit  # {path!r}")
    transport = RingTransport(tmp_path / "spool")
    assert transport.offer(b"x") is None
    until(lambda: transport.offer(b"x") is None and transport.collector is None)
    assert not transport.ring
    transport.close()


def test_the_collector_ends_with_its_transport(tmp_path: Path) -> None:
    """Closing lets it finish; no process stays behind."""
    transport = RingTransport(tmp_path / "spool")
    until(lambda: transport.offer(b"x") is None and transport.ring)
    collector = transport.collector
    assert collector is not None
    assert transport.offer(b"last") is None
    transport.close()
    until(lambda: os.waitpid(collector, os.WNOHANG)[0] == collector)
    assert count(tmp_path / "spool") >= 2


def test_what_a_dead_collector_left_is_stored_when_it_is_closed(tmp_path: Path) -> None:
    """It dies, and before any call noticed that the application closes: frames and counts are there."""
    transport = RingTransport(tmp_path / "spool")
    offered = 0

    def alive() -> bool:
        nonlocal offered
        offered += 1
        return transport.offer(b"x") is None and transport.ring

    until(alive)
    assert transport.collector is not None
    os.kill(transport.collector, signal.SIGSTOP)  # from here on it moves nothing
    os.kill(transport.collector, signal.SIGKILL)
    for _ in range(20):
        assert transport.offer(b"x") is None
        transport.ledger.count("mirrored")
    assert transport.ring
    ended = transport.collector
    until(lambda: Path(f"/proc/{ended}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    transport.close()
    assert count(tmp_path / "spool") >= offered + 20
    assert total(tmp_path / "spool", "main") == transport.ledger.main.snapshot() == {"eligible": 20, "mirrored": 20}


UNCLOSED = """
import os, signal, sys
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]))
while not transport.ring:
    assert transport.offer(b"x") is None
os.kill(transport.collector, signal.SIGKILL)
os.waitid(os.P_PID, transport.collector, os.WEXITED | os.WNOWAIT)
for n in range(20):
    assert transport.offer(b"y" + bytes([n])) is None
    transport.ledger.count("mirrored")
assert transport.ring
"""


def test_what_a_dead_collector_left_is_stored_when_the_application_exits(tmp_path: Path) -> None:
    """It was never closed."""
    subprocess.run([sys.executable, "-c", UNCLOSED, str(tmp_path / "spool")], check=True, timeout=60)
    assert [frame for frame in _frames(tmp_path / "spool") if frame != b"x"] == [b"y" + bytes([n]) for n in range(20)]
    assert total(tmp_path / "spool", "main", fold=True) == {"eligible": 20, "mirrored": 20}


def test_the_first_few_that_die_are_followed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before any call saw them alive; then less and less often."""
    started: list[Ring] = []
    start = RingTransport._start

    def starting(self: RingTransport, ring: Ring) -> int | None:
        started.append(ring)
        return start(self, ring)

    monkeypatch.setattr(RingTransport, "_start", starting)
    monkeypatch.setattr(hand_off, "_RESTART", 60_000_000_000)
    monkeypatch.setattr(hand_off, "_PROGRAM", "raise SystemExit  # {path!r}")
    transport = RingTransport(tmp_path / "spool")
    until(lambda: transport.offer(b"x") is None and len(started) == 3)
    assert transport._patience > hand_off._RESTART
    assert transport._start_at > time.monotonic_ns()
    until(lambda: transport.offer(b"x") is None and transport.collector is None)
    assert transport.offer(b"x") is None
    assert len(started) == 3
    monkeypatch.undo()
    transport._start_at = 0  # its time has come
    until(lambda: transport.offer(b"x") is None and transport.ring)
    assert transport._patience == hand_off._RESTART  # forgiven
    transport.close()


def test_the_files_of_an_application_are_held_by_a_collector_that_only_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application is killed before its collector has opened them: they are not yet the dead's."""
    monkeypatch.setattr(hand_off, "_PROGRAM", "import time; time.sleep(60)  # {path!r}")
    transport = RingTransport(tmp_path / "spool")
    assert transport.offer(b"x") is None
    assert transport.collector is not None
    transport.ledger.forget()  # as the kernel does at its death
    files = list((tmp_path / "spool").glob("*.counters"))
    assert len(files) == 3
    assert all(held(path) for path in files)
    os.kill(transport.collector, signal.SIGKILL)
    until(lambda: not any(held(path) for path in files))
    transport.close()


def test_the_ring_of_a_dead_collector_is_its_successors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody writes to a disk while another starts, and no frame is lost on the way."""
    monkeypatch.setattr(hand_off, "_SILENCE", 60_000_000_000)  # however long a loaded machine takes to start it
    transport = RingTransport(tmp_path / "spool")
    until(lambda: transport.offer(b"x") is None and transport.ring)
    first = transport.collector
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # it is gone, and not yet noticed
    sent = 0
    while transport.collector in {first, None}:
        assert transport.offer(b"y%d" % sent) is None
        sent += 1
        assert sent <= hand_off._EVERY
    for _ in range(200):
        assert transport.ring
        assert transport.offer(b"y%d" % sent) is None
        sent += 1
    transport.close()
    receiver, stored = SpoolReceiver(tmp_path / "spool"), set[bytes]()

    def all_there() -> bool:
        while (batch := receiver.receive(1000)) is not None:
            stored.update(batch.frames)
            batch.settle()
        return stored >= {b"y%d" % n for n in range(sent)}

    until(all_there)
    receiver.close()


def test_a_successor_that_dies_at_once_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ring is let be, and frames go into the spool."""
    transport = RingTransport(tmp_path / "spool")
    until(lambda: transport.offer(b"x") is None and transport.ring)
    assert transport.collector is not None
    monkeypatch.setattr(hand_off, "_PROGRAM", "import sys; sys.exit(1)  # {path!r}")
    os.kill(transport.collector, signal.SIGKILL)
    until(lambda: transport.offer(b"x") is None and not transport.ring)
    transport.close()


def test_the_collector_is_humble(tmp_path: Path) -> None:
    """Lower priority, a session of its own, and no signal that a terminal sends to the application's group."""
    transport = RingTransport(tmp_path / "spool")
    until(lambda: transport.offer(b"x") is None and transport.ring)
    collector = transport.collector
    assert collector is not None
    assert os.getpriority(os.PRIO_PROCESS, collector) == max(os.getpriority(os.PRIO_PROCESS, 0), LEVEL)
    assert os.sched_getscheduler(collector) == os.SCHED_BATCH
    assert os.getsid(collector) == collector
    group = Path(f"/proc/{collector}/autogroup")  # where there are any, priorities count within them only
    if group.exists():
        assert group.read_text().split()[-1] == str(os.getpriority(os.PRIO_PROCESS, collector))
    transport.close()


def test_a_large_frame_goes_beside_the_ring(tmp_path: Path) -> None:
    """One over a quarter of it."""
    transport = RingTransport(tmp_path / "spool", ring_bytes=1 << 16)
    until(lambda: transport.offer(b"x") is None and transport.ring)
    assert transport.offer(b"y" * (1 << 15)) is None
    transport.close()
    until(lambda: any(frame == b"y" * (1 << 15) for frame in _frames(tmp_path / "spool")))


def _frames(folder: Path) -> list[bytes]:
    receiver = SpoolReceiver(folder)
    batch = receiver.receive(100_000)
    receiver.close()
    return [] if batch is None else list(batch.frames)


def test_a_full_ring_refuses_and_nothing_waits(tmp_path: Path) -> None:
    """With its collector stopped, frames over the ring's size are `full`, at once."""
    transport = RingTransport(tmp_path / "spool", ring_bytes=1 << 16)
    until(lambda: transport.offer(b"x") is None and transport.ring)
    assert transport.collector is not None
    os.kill(transport.collector, signal.SIGSTOP)
    try:
        told = [transport.offer(b"z" * 8000) for _ in range(30)]
    finally:
        os.kill(transport.collector, signal.SIGCONT)
    assert told[0] is None
    assert told[-1] == "full"
    transport.close()


def test_where_there_is_no_ring_the_spool_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, frozen applications, systems without memfd."""
    assert isinstance(open_transport(tmp_path, ring=False), SpoolTransport)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "frozen", True, raising=False)
        assert isinstance(open_transport(tmp_path), SpoolTransport)
    with monkeypatch.context() as patch:
        patch.delattr(os, "memfd_create")
        assert isinstance(open_transport(tmp_path), SpoolTransport)


class OnAStalledDisk(RingTransport):
    """A transport whose collector waits for its disk, as the kernel would say (state D)."""

    def _stalls(self, collector: int) -> bool:
        return True


def test_a_stalled_disk_makes_no_caller_write(tmp_path: Path) -> None:
    """For as long as it takes: callers never touch the disk; what has no room is `full`."""
    transport = OnAStalledDisk(tmp_path / "spool", ring_bytes=1 << 20)
    until(lambda: transport.offer(b"x") is None and transport.ring)
    assert transport.collector is not None
    assert not RingTransport._stalls(transport, transport.collector)
    written = transport.spool._segments.sequence
    os.kill(transport.collector, signal.SIGSTOP)
    try:
        time.sleep(2.5)
        assert {transport.offer(b"y" * 1000) for _ in range(2000)} == {None, "full"}
        assert transport.ring
        assert transport.spool._segments.sequence == written
    finally:
        os.kill(transport.collector, signal.SIGCONT)
    until(lambda: transport.offer(b"z") is None)
    transport.close()
