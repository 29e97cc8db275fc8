"""The ring against a queue: whatever order of puts and takes, frames come out whole and in order."""

import itertools
import random
import sys
from collections import deque
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if sys.platform != "linux":
    pytest.skip("the ring is Linux's", allow_module_level=True)

from shadoweval.transport.ring import Ring

numbers = itertools.count()


def made(folder: Path, size: int = 4096) -> Ring:
    return Ring.create(folder / f"a.{next(numbers)}.ring", size)


def frames(ring: Ring, most: int = 10**9) -> list[bytes]:
    return [bytes(frame) for _, frame in ring.take(most)]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.integers(0, 900), st.sampled_from(["take", "again", "taken"])), max_size=80))
def test_it_is_a_bounded_queue(tmp_path: Path, steps: list[int | str]) -> None:
    """Against a deque: a put that is refused leaves no trace, what was not `taken` comes again."""
    writer = made(tmp_path)
    reader = Ring(writer.path)
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
            got = frames(reader, 1000)
            assert got == [waiting.popleft() for _ in got]
            handed.extend(got)
        elif step == "again":
            reader.again()
            waiting.extendleft(reversed(handed))
            handed.clear()
        else:
            reader.taken()
            handed.clear()
    assert frames(reader) == list(waiting)
    reader.close()
    writer.close()
    writer.path.unlink()


def test_a_full_ring_refuses_and_takes_again_when_there_is_room(tmp_path: Path) -> None:
    """It never waits."""
    writer = made(tmp_path)
    reader = Ring(writer.path)
    count = 0
    while writer.put(b"x" * 100):
        count += 1
    assert 30 <= count <= 4096 // 112
    assert not writer.put(b"x" * 100)
    assert len(frames(reader)) == count
    assert not writer.put(b"x" * 100)
    reader.taken()
    assert writer.put(b"x" * 100)


def test_an_unpublished_frame_is_not_there(tmp_path: Path) -> None:
    """A writer killed in the middle of a copy leaves nothing behind: the position is stored last."""
    writer = made(tmp_path)
    reader = Ring(writer.path)
    writer.put(b"whole")
    position = writer._head[1]
    writer.put(b"half")
    writer._head[1] = position
    assert frames(reader) == [b"whole"]


def test_a_frame_says_whose_it_is(tmp_path: Path) -> None:
    """All experiments of a process share a ring."""
    ring = made(tmp_path)
    assert ring.put(b"first", 0 << 32)
    assert ring.put(b"seventh", 7 << 32)
    assert [(number, bytes(frame)) for number, frame in ring.take(1000)] == [(0, b"first"), (7, b"seventh")]


def test_it_outlives_whoever_made_it(tmp_path: Path) -> None:
    """The next one goes on where the last one said."""
    ring = made(tmp_path)
    for frame in (b"a", b"b", b"c"):
        ring.put(frame)
    next(ring.take(1))
    ring.taken()
    path = ring.path
    ring.close()
    assert frames(Ring(path)) == [b"b", b"c"]


def test_its_memory_is_there_from_the_start(tmp_path: Path) -> None:
    """A store into a page that can't be had would kill the application."""
    ring = made(tmp_path, 1 << 20)
    assert ring.path.stat().st_blocks * 512 >= 1 << 20


@pytest.mark.parametrize("size", [0, 100, 4096, 4101, 8191])
def test_what_is_no_ring_is_not_read(tmp_path: Path, size: int) -> None:
    """Torn when it was made, or anything else of that name."""
    path = tmp_path / "a.1.ring"
    path.write_bytes(bytes(size))
    with pytest.raises(ValueError, match="size"):
        Ring(path)


def test_damage_ends_reading_and_never_loops(tmp_path: Path) -> None:
    """Whatever was written over it: frames, an error, and after `skip` new frames; no crash, no endless reading."""
    rng = random.Random(12)
    for _ in range(300):
        writer = made(tmp_path)
        while writer.put(rng.randbytes(rng.randrange(300))):
            pass
        with writer.path.open("r+b") as file:
            for _ in range(rng.randrange(1, 6)):
                file.seek(rng.choice([8, 16, rng.randrange(8, 24), 4096 + 8 * rng.randrange(512)]))
                file.write(rng.randbytes(rng.randrange(1, 9)))
        reader = Ring(writer.path)
        try:
            assert len(frames(reader)) <= 600
        except ValueError:
            assert len(reader.skip(65_536)) <= 4096
            assert reader.waiting == 0
        writer.path.unlink()
