"""The ring's writing end: it never depends on a collector that is not there."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadoweval.priority import LEVEL
from shadoweval.transport import SpoolTransport, open_transport
from tests.waiting import until

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport import memory, starting, way
from shadoweval.transport.hand_off import RingTransport
from shadoweval.transport.totals import total
from tests.garbage import collect
from tests.transport.reading import frames


def served(transport: RingTransport) -> int:
    """Its collector, once that has shown that it lives."""
    until(lambda: transport.offer(b"x") is None and transport.collector)
    assert transport.collector is not None
    return transport.collector


def killed(collector: int) -> None:
    os.kill(collector, signal.SIGKILL)
    os.waitid(os.P_PID, collector, os.WEXITED | os.WNOWAIT)  # it is gone, and not yet noticed


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a loaded machine takes."""
    monkeypatch.setattr(way, "_SILENCE", 60_000_000_000)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for."""
    monkeypatch.setattr(way, "_SILENCE", 1)


@pytest.mark.usefixtures("hasty")
def test_without_a_collector_frames_go_into_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python that can't be started costs speed, not calls, and is tried more and more seldom."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    transport = RingTransport(tmp_path / "spool" / "a")
    assert [transport.offer(b"x") for _ in range(200)] == [None] * 200
    assert not transport.ring
    assert list((tmp_path / "spool" / "a").glob("*.seg"))
    assert transport.way.starter.child is None
    assert transport.way.starter.patience > starting._RESTART
    assert len(frames(tmp_path / "spool" / "a")) == 200
    transport.close()


def test_the_collector_ends_with_its_last_transport(tmp_path: Path) -> None:
    """Closing lets it finish; no process stays behind."""
    first, second = RingTransport(tmp_path / "spool" / "a"), RingTransport(tmp_path / "spool" / "b")
    collector = served(first)
    assert second.offer(b"x") is None
    assert served(second) == collector
    first.close()
    assert second.offer(b"last") is None
    assert second.ring
    second.close()
    until(lambda: os.waitpid(collector, os.WNOHANG)[0] == collector)
    assert frames(tmp_path / "spool" / "b")[-1] == b"last"
    assert not list(first.way.folder.glob("*.counts"))
    assert not list(first.way.folder.glob("*.ring"))


def test_one_that_was_closed_beside_others_can_be_used_again(tmp_path: Path) -> None:
    """And counts on where it was."""
    first, second = RingTransport(tmp_path / "spool" / "a"), RingTransport(tmp_path / "spool" / "b")
    second.offer(b"x")
    for n in range(3):
        assert first.offer(b"a%d" % n) is None
        first.ledger.count("mirrored")
        first.close()
    assert first.ledger.main.snapshot() == {"eligible": 3, "mirrored": 3}
    second.close()
    until(lambda: total(tmp_path / "spool" / "a", "main") == {"eligible": 3, "mirrored": 3})
    assert frames(tmp_path / "spool" / "a") == [b"a0", b"a1", b"a2"]


@pytest.mark.usefixtures("patient")
def test_what_a_dead_collector_left_is_stored_when_it_is_closed(tmp_path: Path) -> None:
    """It dies, and before any call noticed that the application closes: frames and counts are there."""
    transport = RingTransport(tmp_path / "spool" / "a")
    killed(served(transport))
    for _ in range(20):
        assert transport.offer(b"y") is None
        transport.ledger.count("mirrored")
    transport.way.starter.start_at = 1 << 62  # none is started meanwhile
    transport.close()
    assert frames(tmp_path / "spool" / "a").count(b"y") == 20
    counted = {"eligible": 20, "mirrored": 20}
    assert total(tmp_path / "spool" / "a", "main") == transport.ledger.main.snapshot() == counted


UNCLOSED = """
import os, signal, sys
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]))
while not transport.collector:
    assert transport.offer(b"x") is None
os.kill(transport.collector, signal.SIGKILL)
os.waitid(os.P_PID, transport.collector, os.WEXITED | os.WNOWAIT)
transport.way.starter.start_at = 1 << 62
for n in range(20):
    assert transport.offer(b"y" + bytes([n])) is None
    transport.ledger.count("mirrored")
assert transport.ring
"""


def test_what_a_dead_collector_left_is_stored_when_the_application_exits(tmp_path: Path) -> None:
    """It was never closed."""
    folder = tmp_path / "spool" / "a"
    subprocess.run([sys.executable, "-c", UNCLOSED, str(folder)], check=True, timeout=60)
    assert list(folder.glob("*.main.counters"))  # before anybody looked
    assert [frame for frame in frames(folder) if frame != b"x"] == [b"y" + bytes([n]) for n in range(20)]
    assert total(folder, "main", fold=True) == {"eligible": 20, "mirrored": 20}


def test_the_first_few_that_die_are_followed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before any call saw them alive; then less and less often."""
    started: list[Path] = []
    spawn = starting._spawn

    def spawning(root: Path) -> int | None:
        started.append(root)
        return spawn(root)

    monkeypatch.setattr(starting, "_spawn", spawning)
    monkeypatch.setattr(starting, "_RESTART", 60_000_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(starting, "_PROGRAM", "raise SystemExit  # {path!r}")
        transport = RingTransport(tmp_path / "spool" / "a")
        starter = transport.way.starter

        def look() -> None:
            transport.offer(b"x")
            transport.way.look()

        until(lambda: look() or len(started) == 3)
        assert starter.start_at > time.monotonic_ns()
        until(lambda: look() or starter.child is None)
        look()
        assert len(started) == 3
    starter.start_at = 0  # its time has come
    served(transport)
    until(lambda: look() or starter.patience == 60_000_000_000)  # forgiven
    transport.close()


def test_one_is_started_whoever_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two starters of one home, as two processes have: while one starts, or lives, the other does not."""
    monkeypatch.setattr(starting, "_PROGRAM", "import time; time.sleep(60)  # {path!r}")
    transport = RingTransport(tmp_path / "spool" / "a")
    first, second = transport.way.starter, starting.Starter(transport.way.root, transport.way.folder)
    assert first.start(1)
    assert not second.start(1)
    assert first.child is not None
    killed(first.child)
    monkeypatch.undo()
    assert first.start(2)
    until(lambda: memory.watched(transport.way.folder) or first.child is None or starting._died(first.child))
    transport.offer(b"x")
    served(transport)
    assert not second.start(3)
    transport.close()


@pytest.mark.usefixtures("patient")
def test_the_ring_of_a_dead_collector_is_its_successors(tmp_path: Path) -> None:
    """Nobody writes to a disk while another starts, and no frame is lost on the way."""
    transport = RingTransport(tmp_path / "spool" / "a")
    first = served(transport)
    killed(first)
    sent = 0
    while transport.collector == first:
        assert transport.offer(b"y%d" % sent) is None
        assert transport.ring
        sent += 1
        time.sleep(0.001)
    until(lambda: set(frames(tmp_path / "spool" / "a")) | {b"x"} >= set() and not transport.way.ring.waiting)
    transport.close()


def test_the_collector_is_humble(tmp_path: Path) -> None:
    """Lower priority, a session of its own, and no signal that a terminal sends to the application's group."""
    transport = RingTransport(tmp_path / "spool" / "a")
    collector = served(transport)
    assert os.getpriority(os.PRIO_PROCESS, collector) == max(os.getpriority(os.PRIO_PROCESS, 0), LEVEL)
    assert os.sched_getscheduler(collector) == os.SCHED_BATCH
    assert os.getsid(collector) == collector
    group = Path(f"/proc/{collector}/autogroup")  # where there are any, priorities count within them only
    if group.exists():
        assert group.read_text().split()[-1] == str(os.getpriority(os.PRIO_PROCESS, collector))
    transport.close()


def test_the_ring_grows_with_what_is_put_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst, or a frame larger than a quarter of it: in order, up to its largest size; larger frames go beside it."""
    monkeypatch.setattr(way, "_FIRST", 1 << 16)
    transport = RingTransport(tmp_path / "spool" / "a", ring_bytes=1 << 20)
    sent = [bytes([n]) * 10_000 for n in range(90)]
    assert [transport.offer(frame) for frame in sent] == [None] * 90
    assert transport.way.ring.size == 1 << 20
    sent += [b"y" * 200_000, b"z" * 300_000]
    until(lambda: transport.offer(sent[-2]) is None)
    assert transport.offer(sent[-1]) is None
    transport.close()
    until(lambda: not list(transport.way.folder.glob("*.counts")))
    found = frames(tmp_path / "spool" / "a")
    assert [frame for frame in found if len(frame) == 10_000] == sent[:90]
    assert {frame for frame in found if len(frame) > 10_000} == set(sent[90:])


@pytest.mark.usefixtures("patient")
def test_a_full_ring_refuses_and_nothing_waits(tmp_path: Path) -> None:
    """With its collector stopped, frames over the ring's size are `full`, at once."""
    transport = RingTransport(tmp_path / "spool" / "a", ring_bytes=1 << 16)
    collector = served(transport)
    os.kill(collector, signal.SIGSTOP)
    try:
        told = [transport.offer(b"z" * 8000) for _ in range(30)]
    finally:
        os.kill(collector, signal.SIGCONT)
    assert told[0] is None
    assert told[-1] == "full"
    transport.close()


def test_where_there_is_no_ring_the_spool_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for, frozen applications, systems without shared memory, and where it is a folder on a disk."""
    assert isinstance(open_transport(tmp_path / "a", ring=False), SpoolTransport)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "frozen", True, raising=False)
        assert isinstance(open_transport(tmp_path / "a"), SpoolTransport)
    for place in (tmp_path / "missing", tmp_path):
        with monkeypatch.context() as patch:
            patch.setattr(memory, "SHM", place)
            assert isinstance(open_transport(tmp_path / "a"), SpoolTransport)


@pytest.mark.usefixtures("hasty")
def test_a_stalled_disk_makes_no_caller_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as it takes: callers never touch the disk; what has no room is `full`."""
    monkeypatch.setattr(way, "stalls", lambda collector: collector > 0)  # as the kernel would say (state D)
    transport = RingTransport(tmp_path / "spool" / "a", ring_bytes=1 << 20)
    collector = served(transport)
    assert not starting.stalls(collector)
    os.kill(collector, signal.SIGSTOP)
    written = len(list((tmp_path / "spool" / "a").glob("*.seg")))
    try:
        assert {transport.offer(b"y" * 1000) for _ in range(2000)} == {None, "full"}
        assert transport.ring
        assert len(list((tmp_path / "spool" / "a").glob("*.seg"))) == written
    finally:
        os.kill(collector, signal.SIGCONT)
    until(lambda: transport.offer(b"z") is None)
    transport.close()


def test_a_stopped_process_of_the_same_number_is_not_killed() -> None:
    """The collector may be gone, and its number another process's by now."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        os.kill(other.pid, signal.SIGSTOP)
        until(lambda: memory.start_of(other.pid)[1] == "T")
        assert not starting.stalls(other.pid)
        assert memory.start_of(other.pid)[1] == "T"
    finally:
        other.kill()
        other.wait()


def test_memory_that_somebody_removed_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login manager empties /dev/shm when its user leaves: what was there is kept, and what comes."""
    monkeypatch.setattr(starting, "_spawn", lambda _root: None)
    transport = RingTransport(tmp_path / "spool" / "a")
    for n in range(5):
        assert transport.offer(b"a%d" % n) is None
        transport.ledger.count("mirrored")
    for path in transport.way.folder.iterdir():
        path.unlink()
    transport.way.look()
    for n in range(5):
        assert transport.offer(b"b%d" % n) is None
        transport.ledger.count("mirrored")
    assert sorted(frames(tmp_path / "spool" / "a")) == sorted(b"%s%d" % (x, n) for x in (b"a", b"b") for n in range(5))
    assert total(tmp_path / "spool" / "a", "main") == {"eligible": 10, "mirrored": 10}
    assert transport.ledger.main.snapshot() == {"eligible": 10, "mirrored": 10}
    transport.close()


def test_the_last_descriptors_are_the_applications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Near the limit nothing is opened for us; calls are counted, and readers get the counts when there is room."""
    transport = RingTransport(tmp_path / "spool" / "a")
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    with monkeypatch.context() as patch:
        patch.setattr(memory, "_LEFT", memory.resource.getrlimit(memory.resource.RLIMIT_NOFILE)[0] - lowest)
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert transport.offer(b"x") == "transport_error"
        transport.ledger.count("transport_error")
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    until(lambda: transport.offer(b"x") is None)
    assert total(tmp_path / "spool" / "a", "main") == {"eligible": 1, "transport_error": 1}
    transport.close()


def test_fifty_experiments_take_a_few_descriptors(tmp_path: Path) -> None:
    """One ring, one file of counts and one collector for all of them, and no files of counts a process in the home."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    transports = [RingTransport(tmp_path / "spool" / f"e{n}") for n in range(50)]
    for transport in transports:
        assert transport.offer(b"x") is None
        transport.ledger.count("mirrored")
    collector = served(transports[0])
    until(lambda: not transports[0].way.ring.waiting)
    assert len(list(Path("/proc/self/fd").iterdir())) - before <= 8
    assert len(list(Path(f"/proc/{collector}/fd").iterdir())) <= 32
    assert {transport.collector for transport in transports} == {collector}
    assert (
        len(list(transports[0].way.folder.glob("*.ring"))) == len(list(transports[0].way.folder.glob("*.counts"))) == 1
    )
    assert sum(path.stat().st_blocks for path in transports[0].way.folder.iterdir()) * 512 < 4 << 20
    for transport in transports:
        until(lambda folder=transport.folder: total(folder, "main") == {"eligible": 1, "mirrored": 1})
    for transport in transports:
        transport.close()


def test_a_call_that_is_not_mirrored_opens_no_ring(tmp_path: Path) -> None:
    """And starts no collector; it is counted, whoever is killed."""
    transport = RingTransport(tmp_path / "spool" / "a")
    transport.ledger.count("not_sampled")
    assert [path.suffix for path in transport.way.folder.iterdir() if path.suffix] == [".counts"]
    assert transport.way.starter.child is None
    assert not (tmp_path / "spool" / "a").exists()
    assert total(tmp_path / "spool" / "a", "main") == {"eligible": 1, "not_sampled": 1}
    transport.close()


def test_what_nobody_uses_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home that is left behind costs no descriptor, and nothing of it is lost."""
    monkeypatch.setattr(starting, "_spawn", lambda _root: None)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(20):
        transport = RingTransport(tmp_path / f"{n}" / "spool" / "a")
        assert transport.offer(b"x") is None
        transport.ledger.count("mirrored")
        del transport
    collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 5
    for n in range(20):
        assert frames(tmp_path / f"{n}" / "spool" / "a") == [b"x"]
        assert total(tmp_path / f"{n}" / "spool" / "a", "main") == {"eligible": 1, "mirrored": 1}
