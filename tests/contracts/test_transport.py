"""What every transport promises, whichever way its frames go.

An implementation of your own joins by a line in `TRANSPORTS`: a function that makes both ends over a folder.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shadoweval.counters import LOSSES
from shadoweval.protocols import Transport
from shadoweval.transport import SpoolReceiver, SpoolTransport, open_transport
from tests.waiting import until


def through_ring(folder: Path) -> Any:
    """A ring whose collector is at work."""
    transport = open_transport(folder)
    if isinstance(transport, SpoolTransport):
        pytest.skip("no ring on this system")
    until(lambda: transport.offer(b"warm-up") is None and transport.ring)
    return transport


TRANSPORTS: dict[str, Callable[[Path], Any]] = {"spool": SpoolTransport, "ring": through_ring}
WARM = b"warm-up"


class Ends:
    """Both ends over one folder."""

    def __init__(self, folder: Path, make: Callable[[Path], Any]) -> None:
        self.folder, self.make = folder, make
        self.writer = make(folder)
        self.receiver = SpoolReceiver(folder)

    def take(self, count: int, *, settle: bool = True) -> list[bytes]:
        """The next `count` frames, warm-ups aside."""
        found: list[bytes] = []

        def enough() -> bool:
            batch = self.receiver.receive(1000 if settle else 10_000)
            frames = [] if batch is None else [frame for frame in batch.frames if frame != WARM]
            if settle:
                found.extend(frames)
            else:
                found[:] = frames
            if batch is not None and settle:
                batch.settle()
            return len(found) >= count

        until(enough)
        return found

    def nothing_left(self) -> bool:
        batch = self.receiver.receive(1000)
        return batch is None or all(frame == WARM for frame in batch.frames)


@pytest.fixture(params=sorted(TRANSPORTS))
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ends]:
    both = Ends(tmp_path / "support", TRANSPORTS[request.param])
    yield both
    both.writer.close()
    both.receiver.close()


def test_it_says_what_it_can(ends: Ends) -> None:
    """Ours count beside their frames, and their readers finish drafts; one that only offers has the defaults."""

    class Bare(Transport):
        def offer(self, frame: bytes) -> str | None:
            del frame
            return "full"

    assert isinstance(ends.writer, Transport)
    assert ends.writer.drafts is True
    assert ends.writer.ledger.main.snapshot() == {}
    assert isinstance(Bare(), Transport)
    assert (Bare().drafts, Bare().ledger, Bare().close()) == (False, None, None)


def test_frames_arrive_whole_and_in_order(ends: Ends) -> None:
    """Also empty ones, and one of 3 MB among small ones."""
    sent = [b"", b"x", os.urandom(3_000_000), *(str(n).encode() for n in range(500))]
    assert [ends.writer.offer(frame) for frame in sent] == [None] * len(sent)
    if type(ends.writer) is SpoolTransport:
        assert ends.take(len(sent)) == sent
    else:  # the large frame goes beside the ring, through another writer
        assert sorted(ends.take(len(sent))) == sorted(sent)


def test_frames_come_again_until_they_are_settled(ends: Ends) -> None:
    """A reader that died before it stored them gets them again, or its successor does."""
    sent = [str(n).encode() for n in range(20)]
    for frame in sent:
        ends.writer.offer(frame)
    assert ends.take(20, settle=False) == sent
    assert ends.take(20, settle=False) == sent
    ends.receiver.close()
    ends.receiver = SpoolReceiver(ends.folder)
    assert ends.take(20) == sent
    assert ends.nothing_left()
    ends.receiver.close()
    ends.receiver = SpoolReceiver(ends.folder)
    assert ends.nothing_left()
    ends.writer.offer(b"next")
    assert ends.take(1) == [b"next"]


def test_a_limit_is_a_limit(ends: Ends) -> None:
    """Batches are as small as the reader wants them."""
    for n in range(10):
        ends.writer.offer(str(n).encode())
    ends.take(10, settle=False)
    batch = ends.receiver.receive(3)
    assert batch is not None
    assert len(batch.frames) == 3


def test_threads_may_offer_at_once(ends: Ends) -> None:
    """Nothing is lost, doubled or torn, and each thread's frames keep their order."""

    def write(name: int) -> None:
        for n in range(300):
            assert ends.writer.offer(f"{name}:{n}".encode() + b"." * (n % 50)) is None

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = [frame.rstrip(b".").decode().split(":") for frame in ends.take(1200)]
    assert len(got) == 1200
    for name in range(4):
        assert [int(n) for who, n in got if who == str(name)] == list(range(300))


def test_a_forked_child_writes_beside_its_parent(ends: Ends) -> None:
    """Pre-fork servers: what either writes after the fork arrives once, also when the child leaves without goodbye."""
    ends.writer.offer(b"before")
    child = os.fork()
    if not child:
        code = 0 if ends.writer.offer(b"child") is None and ends.writer.offer(b"child too") is None else 1
        ends.writer.ledger.main.add("eligible")
        os._exit(code)
    assert ends.writer.offer(b"parent") is None
    ends.writer.ledger.main.add("eligible")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(ends.take(4)) == [b"before", b"child", b"child too", b"parent"]
    until(lambda: ends.receiver.counters()["eligible"] == 2)  # a ring's are copied at its collector's next look


def test_counters_of_all_writers_add_up(ends: Ends) -> None:
    """Living and dead, before and after their files were folded into one."""
    other = SpoolTransport(ends.folder)
    ends.writer.ledger.main.add("eligible", 3)
    other.ledger.main.add("eligible", 4)
    other.ledger.main.add("full")
    until(lambda: ends.receiver.counters() == {"eligible": 7, "full": 1})


def test_after_close_it_can_be_used_again(ends: Ends) -> None:
    """Closing lets go of files; it is no end."""
    ends.writer.offer(b"a")
    ends.writer.close()
    ends.writer.close()
    assert ends.writer.offer(b"b") is None
    assert sorted(ends.take(2)) == [b"a", b"b"]


def test_losses_are_named(tmp_path: Path) -> None:
    """A folder that can't be made is a reason, not an exception."""
    (tmp_path / "file").write_text("in the way")
    writer = SpoolTransport(tmp_path / "file" / "spool")
    assert writer.offer(b"x") in LOSSES
    writer.ledger.main.add("eligible")
    assert writer.ledger.main.snapshot() == {"eligible": 1}


def test_one_reader_at_a_time(ends: Ends) -> None:
    """A second reader gets nothing while the first one lives, and takes over from it."""
    ends.writer.offer(b"x")
    assert ends.take(1, settle=False) == [b"x"]
    second = SpoolReceiver(ends.folder)
    assert second.receive(10) is None
    ends.receiver.close()
    batch = second.receive(10_000)
    assert batch is not None
    assert b"x" in batch.frames
    second.close()
