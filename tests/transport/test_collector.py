"""The collector moves frames whole and in order, and lets none go before the spool has it."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver
from shadoweval.transport import spool as spool_module

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport.collector import Collector, main
from shadoweval.transport.ring import Ring


def frames(folder: Path) -> list[bytes]:
    receiver = SpoolReceiver(folder)
    found: list[bytes] = []
    while (batch := receiver.receive(1000)) is not None:
        found += batch.frames
        batch.settle()
    receiver.close()
    return found


def test_frames_are_moved_in_blocks(tmp_path: Path) -> None:
    """More than a block at once, over several segments."""
    ring = Ring.create(4 << 20)
    collector = Collector(ring, tmp_path / "spool", segment_bytes=1 << 20, cap_bytes=1 << 30)
    sent = [bytes([n % 251]) * 40_000 for n in range(80)]
    assert all(ring.put(frame) for frame in sent)
    moves = 0
    while collector.move():
        moves += 1
    assert moves > 2
    assert ring.waiting == 0
    collector.sync(now=True)
    assert frames(tmp_path / "spool") == sent
    ring.close()


def test_many_small_frames_are_moved_each_once(tmp_path: Path) -> None:
    """One system call takes so many parts only."""
    ring = Ring.create(1 << 20)
    collector = Collector(ring, tmp_path / "spool", segment_bytes=1 << 20, cap_bytes=1 << 30)
    sent = [str(n).encode() for n in range(3000)]
    assert all(ring.put(frame) for frame in sent)
    while collector.move():
        pass
    assert ring.waiting == 0
    assert frames(tmp_path / "spool") == sent
    ring.close()


def test_what_can_not_be_written_stays_in_the_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in the way, then a spool at its cap: nothing is taken, and it comes when there is room."""
    monkeypatch.setattr(spool_module, "_LOOK", 0.0)
    (tmp_path / "spool").write_text("in the way")
    ring = Ring.create(1 << 20)
    assert ring.put(b"x" * 1000)
    collector = Collector(ring, tmp_path / "spool", segment_bytes=1 << 20, cap_bytes=1500)
    waiting = ring.waiting
    assert not collector.move()
    assert ring.waiting == waiting
    (tmp_path / "spool").unlink()
    assert collector.move()
    assert ring.put(b"y" * 1000)
    assert not collector.move()
    assert ring.waiting
    assert frames(tmp_path / "spool") == [b"x" * 1000]
    collector._segments.close()
    assert frames(tmp_path / "spool") == []
    assert collector.move()
    assert frames(tmp_path / "spool") == [b"y" * 1000]
    ring.close()


def test_it_works_until_the_ring_is_closed_and_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the process does: signs of life, frames, then its end."""
    monkeypatch.setattr("shadoweval.transport.collector._humble", lambda: None)  # the test process keeps its priority
    ring = Ring.create(1 << 20)
    arguments = [str(os.dup(ring.descriptor)), str(tmp_path / "spool"), str(os.getppid()), str(1 << 20), str(1 << 30)]
    thread = threading.Thread(target=main, args=(arguments,))
    thread.start()
    end = time.monotonic() + 60
    while not ring.beat:
        assert time.monotonic() < end
        time.sleep(0.001)
    for n in range(100):
        assert ring.put(str(n).encode())
    ring.finish()
    thread.join(20)
    assert not thread.is_alive()
    assert frames(tmp_path / "spool") == [str(n).encode() for n in range(100)]
    ring.close()


def test_an_orphan_gives_up_on_a_folder_that_stays_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not live for ever for what can't be written."""
    monkeypatch.setattr("shadoweval.transport.collector._ORPHAN_PATIENCE", 0.05)
    (tmp_path / "spool").write_text("in the way")
    ring = Ring.create(1 << 20)
    ring.put(b"x")
    Collector(ring, tmp_path / "spool", segment_bytes=1 << 20, cap_bytes=1 << 30).run(application=-1)
    assert ring.waiting
    ring.close()
