"""The collector ends when nobody needs it, and not before."""

import sys
import threading
import time
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver
from tests.waiting import until

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport import collector
from shadoweval.transport.hand_off import RingTransport
from shadoweval.transport.memory import memory_of, readers_lock, release


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started, and this one keeps its priority."""
    monkeypatch.setattr(collector, "_humble", lambda: None)
    monkeypatch.setattr("shadoweval.transport.starting._spawn", lambda _root: None)


def frames(folder: Path) -> list[bytes]:
    receiver = SpoolReceiver(folder)
    found: list[bytes] = []
    while (batch := receiver.receive(1000)) is not None:
        found += batch.frames
        batch.settle()
    receiver.close()
    return found


def begun(root: Path) -> threading.Thread:
    thread = threading.Thread(target=collector.main, args=([str(root)],))
    thread.start()
    return thread


def test_it_works_until_all_have_closed(tmp_path: Path) -> None:
    """Signs of life in each ring, frames of all experiments, then its end."""
    first, second = RingTransport(tmp_path / "spool" / "a"), RingTransport(tmp_path / "spool" / "b")
    assert first.offer(b"a0") is None
    assert second.offer(b"b0") is None
    thread = begun(tmp_path / "spool")
    until(lambda: first.collector)
    for n in range(1, 100):
        assert first.offer(b"a%d" % n) is None
        assert second.offer(b"b%d" % n) is None
        first.ledger.count("mirrored")
    first.close()
    assert thread.is_alive()
    second.close()
    thread.join(60)
    assert not thread.is_alive()
    assert frames(tmp_path / "spool" / "a") == [b"a%d" % n for n in range(100)]
    assert frames(tmp_path / "spool" / "b") == [b"b%d" % n for n in range(100)]


def test_a_second_one_leaves_it_to_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two would write the same frames."""
    monkeypatch.setattr(collector, "_LOCK", 0.05)
    transport = RingTransport(tmp_path / "spool" / "a")
    transport.offer(b"x")
    memory = memory_of(tmp_path / "spool")
    assert memory is not None
    lock = readers_lock(memory)
    assert lock is not None
    begun(tmp_path / "spool").join(60)
    assert transport.collector is None
    assert not (tmp_path / "spool" / "a").exists()
    release(lock)
    transport.close()
    assert frames(tmp_path / "spool" / "a") == [b"x"]


def test_it_gives_up_on_a_folder_that_stays_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not live for ever for what can't be written; whoever comes later finds it."""
    monkeypatch.setattr(collector, "_ORPHAN_PATIENCE", 0.05)
    transport = RingTransport(tmp_path / "spool" / "a")
    (tmp_path / "spool" / "a").write_text("in the way")
    transport.offer(b"x")
    transport.close()
    begun(tmp_path / "spool").join(60)
    (tmp_path / "spool" / "a").unlink()
    assert frames(tmp_path / "spool" / "a") == [b"x"]


def test_after_a_forked_child_it_waits_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that run in children come one after another, and none should pay for a collector's start."""
    monkeypatch.setattr(collector, "_JOBS", 0.5)
    transport = RingTransport(tmp_path / "spool" / "a")
    transport.way._forked = True
    transport.offer(b"x")
    thread = begun(tmp_path / "spool")
    until(lambda: transport.collector)
    transport.close()
    until(lambda: not list(transport.way.folder.glob("*.counts")))
    began = time.monotonic()
    thread.join(60)
    assert time.monotonic() - began > 0.2
