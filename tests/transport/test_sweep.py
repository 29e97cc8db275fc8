"""Whoever reads a home's memory takes every frame and count once, whoever died before."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver
from shadoweval.transport import spool as spool_module

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport import spools, starting, sums
from shadoweval.transport.hand_off import RingTransport
from shadoweval.transport.memory import memory_of, readers_lock, release
from shadoweval.transport.sweep import Sweep, adopt
from shadoweval.transport.totals import total
from tests.transport.reading import frames


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No collector is started."""
    monkeypatch.setattr(starting, "_spawn", lambda _root: None)


def damaged(folder: Path) -> int:
    receiver = SpoolReceiver(folder)
    batch = receiver.receive(1000)
    receiver.close()
    return 0 if batch is None else len(batch.corrupt)


# Hands over and counts, then says so and waits for its end.
ONE = """
import sys, time
from pathlib import Path
from shadoweval.transport import open_transport, starting
starting._spawn = lambda root: None
for name in sys.argv[2:]:
    transport = open_transport(Path(sys.argv[1]) / name)
    for n in range(10):
        transport.ledger.count(transport.offer(f"{name}{n}".encode()) or "mirrored")
    transport.ledger.count("not_sampled")
    transport.ledger.control.add("5")
print("done", flush=True)
time.sleep(600)
"""


class One:
    """A process of the home."""

    def __init__(self, root: Path, *names: str) -> None:
        self.running = subprocess.Popen([sys.executable, "-c", ONE, str(root), *names], stdout=subprocess.PIPE)
        assert self.running.stdout is not None
        assert self.running.stdout.readline() == b"done\n"

    def kill(self) -> None:
        self.running.kill()
        self.running.communicate()


def test_what_a_killed_process_left_is_taken_by_whoever_looks(tmp_path: Path) -> None:
    """Application gone, no collector, perhaps days later: a worker's receiver finds all of it, and once."""
    for _ in range(2):
        One(tmp_path, "a", "b").kill()
    for name in ("a", "b"):
        assert sorted(frames(tmp_path / name)) == sorted(f"{name}{n}".encode() for n in range(10) for _ in range(2))
        for fold in (False, True, True):
            assert total(tmp_path / name, "main", fold=fold) == {"eligible": 22, "mirrored": 20, "not_sampled": 2}
            assert total(tmp_path / name, "control", fold=fold) == {"5": 2}
    memory = memory_of(tmp_path)
    assert memory is not None
    assert {path.name for path in memory.iterdir()} <= {"lock", "home", "sums"}


def test_counts_alone_bring_them_too(tmp_path: Path) -> None:
    """`status` and an evaluation ask for nothing else."""
    One(tmp_path, "a").kill()
    assert total(tmp_path / "a", "main")["eligible"] == 11


def test_what_a_living_process_has_is_taken_and_left_to_it(tmp_path: Path) -> None:
    """Its collector is gone: a look takes the frames, copies the counts, and takes nothing away from it."""
    one = One(tmp_path, "a")
    try:
        for _ in range(3):
            assert total(tmp_path / "a", "main", fold=True)["eligible"] == 11
        assert len(frames(tmp_path / "a")) == 10
        memory = memory_of(tmp_path)
        assert memory is not None
        assert len(list(memory.glob("*.counts"))) == len(list(memory.glob("*.ring"))) == 1
    finally:
        one.kill()
    assert total(tmp_path / "a", "main", fold=True)["eligible"] == 11
    assert total(tmp_path / "a", "main", fold=True)["eligible"] == 11


@pytest.mark.parametrize("step", ["write", "unlink", "rename", "append", "copy"])
def test_a_reader_that_dies_at_any_step_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Its successor goes on; a frame may come twice, a count never does."""

    class Death(BaseException):
        """Of the process."""

    def dies(*_: object, **__: object) -> None:
        raise Death

    One(tmp_path, "a").kill()
    target = {
        "write": (sums.Sums, "_write"),
        "unlink": (os, "unlink"),
        "rename": (Path, "rename"),
        "append": (spools.Spools, "append"),
        "copy": (sums.Sums, "_copy"),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(*target, dies)
        if step == "unlink":
            patch.setattr(Path, "unlink", dies)
        with pytest.raises(Death):
            adopt(tmp_path)
    monkeypatch.setattr(spool_module, "_LOOK", 0.0)
    for fold in (False, True, True):
        assert total(tmp_path / "a", "main", fold=fold) == {"eligible": 11, "mirrored": 10, "not_sampled": 1}
    assert set(frames(tmp_path / "a")) == {f"a{n}".encode() for n in range(10)}


def test_one_that_can_not_be_written_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frames are held, later ones are `full`, and all of it comes when there is room."""
    monkeypatch.setattr(spool_module, "_LOOK", 0.0)
    (tmp_path / "a").write_text("in the way")
    a, b = RingTransport(tmp_path / "a"), RingTransport(tmp_path / "b")
    for n in range(3):
        assert a.offer(b"a%d" % n) is None
        assert b.offer(b"b%d" % n) is None
    adopt(tmp_path)
    assert frames(tmp_path / "b") == [b"b0", b"b1", b"b2"]
    assert a.offer(b"lost") == "full"
    assert b.offer(b"b3") is None
    (tmp_path / "a").unlink()
    assert frames(tmp_path / "a") == [b"a0", b"a1", b"a2"]
    assert a.offer(b"a3") is None
    assert frames(tmp_path / "a") == [b"a3"]
    a.close()
    b.close()


def test_what_is_held_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it frames stay in their ring, which fills up."""
    monkeypatch.setattr(spools, "_HELD_BYTES", 3_000)
    (tmp_path / "a").write_text("in the way")
    transport = RingTransport(tmp_path / "a", ring_bytes=1 << 16)
    for _ in range(10):
        assert transport.offer(b"x" * 1000) is None
    adopt(tmp_path)
    assert transport.way.ring.waiting > 0
    (tmp_path / "a").unlink()
    transport.close()
    assert len(frames(tmp_path / "a")) == 10


def test_a_spool_at_its_cap_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is taken out of memory, and it comes when there is room."""
    monkeypatch.setattr(spool_module, "_LOOK", 0.0)
    monkeypatch.setattr(spools, "CAP_BYTES", 1500)
    transport = RingTransport(tmp_path / "a")
    transport.offer(b"x" * 1000)
    adopt(tmp_path)
    transport.offer(b"y" * 1000)
    adopt(tmp_path)
    monkeypatch.setattr(spools, "CAP_BYTES", 1 << 20)
    assert frames(tmp_path / "a") == [b"x" * 1000, b"y" * 1000]
    transport.close()


def test_many_frames_of_many_experiments_come_in_order(tmp_path: Path) -> None:
    """More than a block, than one system call takes, than segments that are open at once."""
    ways = [RingTransport(tmp_path / f"e{n}") for n in range(30)]
    sent: dict[str, list[bytes]] = {}
    rng = random.Random(3)
    for n in range(3000):
        transport = rng.choice(ways)
        frame = b"%d:" % n + b"x" * rng.randrange(900)
        assert transport.offer(frame) is None
        sent.setdefault(transport.folder.name, []).append(frame)
    memory = memory_of(tmp_path)
    assert memory is not None
    lock = readers_lock(memory)
    assert lock is not None
    sweep = Sweep(tmp_path, memory)
    before = len(list(Path("/proc/self/fd").iterdir()))
    while sweep.look():
        assert len(list(Path("/proc/self/fd").iterdir())) <= before + 25
    sweep.close()
    release(lock)
    for name, expected in sent.items():
        found = frames(tmp_path / name)
        assert sorted(found) == sorted(expected)
    for transport in ways:
        transport.close()


def test_damage_is_set_aside_and_counted(tmp_path: Path) -> None:
    """In a ring, a ring that is torn, and counts that are: what is sound comes, what is not is said, nothing loops."""
    one = One(tmp_path, "a")
    memory = memory_of(tmp_path)
    assert memory is not None
    (ring,) = memory.glob("*.ring")
    with ring.open("r+b") as file:
        file.seek(4096 + 3 * 16)  # the fourth frame's word
        file.write(b"\xff" * 7)
    (memory / f"{ring.name.partition('.')[0]}.000009.ring").write_bytes(b"torn")
    (memory / "1-abc.counts").write_bytes(b"torn")
    (memory / "1-abc.000001.ring").write_bytes(os.urandom(8192))
    (memory / "sums").write_bytes(b"{")
    one.kill()
    assert adopt(tmp_path)
    assert adopt(tmp_path)
    assert damaged(tmp_path / "a") >= 2
    assert {path.suffix for path in memory.iterdir()} == {""}
    assert frames(tmp_path / "a")[:3] == [b"a0", b"a1", b"a2"]
    assert total(tmp_path / "a", "main") == {"eligible": 11, "mirrored": 10, "not_sampled": 1}


def test_a_number_that_is_anothers_by_now_is_a_dead_process(tmp_path: Path) -> None:
    """Process ids come again; when it began tells them apart."""
    one = One(tmp_path, "a")
    memory = memory_of(tmp_path)
    assert memory is not None
    (counts,) = memory.glob("*.counts")
    one.kill()
    with counts.open("r+b") as file:
        file.seek(8)
        file.write(os.getpid().to_bytes(8, "little"))  # it lives, and began at another time
    assert total(tmp_path / "a", "main", fold=True)["eligible"] == 11
    assert not counts.exists()


def test_the_memory_of_a_home_that_was_removed_goes(tmp_path: Path) -> None:
    """And of no other."""
    from shadoweval.transport.memory import sweep_away

    homes = [tmp_path / "gone" / "spool", tmp_path / "here" / "spool"]
    for root in homes:
        One(root, "a").kill()
    gone, here = (memory_of(root) for root in homes)
    assert gone is not None
    assert here is not None
    homes[0].rename(tmp_path / "elsewhere")
    sweep_away(here)
    assert gone.exists()  # its disk may only be away
    for memory in (gone, here):
        os.utime(memory, (1.0, 1.0))
    sweep_away(here)
    assert not gone.exists()
    assert here.exists()
    assert total(homes[1] / "a", "main")["eligible"] == 11


def test_a_home_that_others_could_enter_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else made this user's folder in /dev/shm, or a link in its place."""
    from shadoweval.transport import SpoolTransport, memory, open_transport

    monkeypatch.setattr(memory, "_user", lambda: tmp_path / "shm" / "shadoweval-0")
    (tmp_path / "shm" / "shadoweval-0").mkdir(parents=True, mode=0o755)
    assert isinstance(open_transport(tmp_path / "home" / "a"), SpoolTransport)
    (tmp_path / "shm" / "shadoweval-0").chmod(0o700)
    (tmp_path / "shm" / "shadoweval-0").rename(tmp_path / "shm" / "other")
    (tmp_path / "shm" / "shadoweval-0").symlink_to(tmp_path / "shm" / "other")
    assert isinstance(open_transport(tmp_path / "home" / "a"), SpoolTransport)


def test_no_room_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that is full: frames go into the spool, counts into files, and both are found."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    transport = RingTransport(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        for n in range(5):
            assert transport.offer(b"a%d" % n) is None
            transport.ledger.count("mirrored")
        assert not transport.ring
    counted = {"eligible": 5, "mirrored": 5}
    assert transport.ledger.main.snapshot() == total(tmp_path / "a", "main") == counted
    transport.way._try_at, transport._join_at = 0, 0.0  # their time has come
    assert transport.offer(b"a5") is None
    assert transport.ring
    assert total(tmp_path / "a", "main") == counted
    assert frames(tmp_path / "a") == [b"a%d" % n for n in range(6)]
    transport.close()
