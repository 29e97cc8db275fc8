"""The ring against a queue: whatever order of puts and takes, frames come out whole and in order."""

import fcntl
import os
import sys
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memfd is Linux's")

if sys.platform == "linux":
    from shadoweval.transport.ring import Ring


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.one_of(st.integers(0, 900), st.sampled_from(["take", "again", "taken"])), max_size=80))
def test_it_is_a_bounded_queue(steps: list[int | str]) -> None:
    """Against a deque: a put that is refused leaves no trace, what was not `taken` comes again."""
    writer = Ring.create(4096)
    reader = Ring(os.dup(writer.descriptor))
    waiting: deque[bytes] = deque()
    handed: deque[bytes] = deque()
    for n, step in enumerate(steps):
        if isinstance(step, int):
            frame = bytes([n % 251]) * step
            if writer.put(frame):
                waiting.append(frame)
            else:
                assert sum(map(len, waiting)) + sum(map(len, handed)) + len(frame) > 4096 // 4
        elif step == "take":
            got = [bytes(frame) for frame in reader.take(1000)]
            assert got == [waiting.popleft() for _ in got]
            handed.extend(got)
        elif step == "again":
            reader.again()
            waiting.extendleft(reversed(handed))
            handed.clear()
        else:
            reader.taken()
            handed.clear()
    assert [bytes(frame) for frame in reader.take(10**9)] == list(waiting)
    reader.close()
    writer.close()


def test_nobody_can_shrink_it() -> None:
    """A truncated mapping would kill the application with SIGBUS."""
    ring = Ring.create(4096)
    with pytest.raises(PermissionError):
        os.ftruncate(ring.descriptor, 100)
    assert fcntl.fcntl(ring.descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK
    ring.close()


def test_a_full_ring_refuses_and_takes_again_when_there_is_room() -> None:
    """It never waits."""
    writer = Ring.create(4096)
    reader = Ring(os.dup(writer.descriptor))
    count = 0
    while writer.put(b"x" * 100):
        count += 1
    assert 30 <= count <= 4096 // 112
    assert not writer.put(b"x" * 100)
    assert len(list(reader.take(10**9))) == count
    assert not writer.put(b"x" * 100)
    reader.taken()
    assert writer.put(b"x" * 100)
    reader.close()
    writer.close()


def test_a_descriptor_that_became_anothers_is_seen() -> None:
    """A daemon closes all descriptors and opens others: the number is not the ring's any more."""
    ring = Ring.create(4096)
    assert ring.intact
    other = os.open(os.devnull, os.O_RDONLY)
    os.dup2(other, ring.descriptor)
    assert not ring.intact
    number = ring.descriptor
    ring.close()
    os.fstat(number)  # still open: it was not ours to close
    os.close(number)
    os.close(other)


def test_an_unpublished_frame_is_not_there() -> None:
    """A writer killed in the middle of a copy leaves nothing behind: the position is stored last."""
    writer = Ring.create(4096)
    reader = Ring(os.dup(writer.descriptor))
    writer.put(b"whole")
    position = writer._head[0]
    writer.put(b"half")
    writer._head[0] = position
    assert list(reader.take(10**9)) == [b"whole"]
    reader.close()
    writer.close()
