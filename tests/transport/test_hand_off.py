"""The ring's writing end: it never depends on a collector that is not there."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver, SpoolTransport, open_transport

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport import hand_off
from shadoweval.transport.hand_off import RingTransport


def until(met: Callable[[], object]) -> None:
    end = time.monotonic() + 20
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


def test_the_collector_is_humble(tmp_path: Path) -> None:
    """Lower priority, a session of its own, and no signal that a terminal sends to the application's group."""
    transport = RingTransport(tmp_path / "spool")
    until(lambda: transport.offer(b"x") is None and transport.ring)
    collector = transport.collector
    assert collector is not None
    assert os.getpriority(os.PRIO_PROCESS, collector) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    assert os.sched_getscheduler(collector) == os.SCHED_BATCH
    assert os.getsid(collector) == collector
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
