"""Frames in damaged files: what is sound is found, what is not is set aside once."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.transport.frames import HEADER, framed, scan

PAYLOADS = st.lists(st.binary(max_size=200), max_size=8)


@given(payloads=PAYLOADS)
def test_what_is_framed_is_found(payloads: list[bytes]) -> None:
    """In order and whole."""
    block = b"".join(map(framed, payloads))
    found = scan(block, limit=100, last=True)
    assert (found.frames, found.corrupt, found.consumed) == (payloads, [], len(block))


@given(payloads=PAYLOADS, cut=st.integers(1, 100))
def test_an_incomplete_frame_waits_while_its_writer_lives(payloads: list[bytes], cut: int) -> None:
    """And is damage afterwards; those before it are found in both cases."""
    tail = framed(b"x" * 100)[:cut]
    block = b"".join(map(framed, payloads)) + tail
    alive = scan(block, limit=100, last=False)
    assert (alive.frames, alive.corrupt, alive.consumed) == (payloads, [], len(block) - cut)
    assert alive.wanted > len(tail)
    dead = scan(block, limit=100, last=True)
    assert (dead.frames, dead.consumed) == (payloads, len(block))
    assert [damage for damage, _ in dead.corrupt] == [tail]


@settings(max_examples=300)
@given(
    payloads=st.lists(st.binary(min_size=1, max_size=200), min_size=3, max_size=8),
    place=st.floats(0, 0.999),
    noise=st.binary(min_size=1, max_size=60),
    last=st.booleans(),
)
def test_damage_costs_the_frames_it_touches(payloads: list[bytes], place: float, noise: bytes, last: bool) -> None:
    """Overwritten bytes anywhere: every frame that they don't touch is found, and nothing else is."""
    parts = list(map(framed, payloads))
    block = b"".join(parts)
    at = int(place * len(block))
    damaged = (block[:at] + noise + block[at + len(noise) :])[: len(block)]
    expected, begin = [], 0
    for payload, part in zip(payloads, parts, strict=True):
        if damaged[begin : begin + len(part)] == part:
            expected.append(payload)
        begin += len(part)
    closing = framed(b"closing")
    found = scan(damaged + closing, limit=100, last=last)
    assert found.frames == [*expected, b"closing"]
    assert bool(found.corrupt) == (len(expected) < len(payloads))


@given(garbage=st.binary(max_size=2000), last=st.booleans())
def test_garbage_is_never_taken_for_a_frame(garbage: bytes, last: bool) -> None:
    """And never raises, nor is it looked at for ever."""
    found = scan(garbage, limit=100, last=last)
    assert found.frames == []
    assert 0 <= found.consumed <= len(garbage)
    assert not last or found.consumed == len(garbage)


def test_zeros_after_a_power_loss_are_skipped() -> None:
    """A file system may give back blocks of zeros; what was written after them is found."""
    block = framed(b"a") + bytes(5000) + framed(b"b")
    assert scan(block, limit=10, last=True).frames == [b"a", b"b"]


def test_a_frame_inside_a_payload_is_no_frame() -> None:
    """An envelope that quotes a segment is one frame."""
    inner = framed(b"inner")
    assert scan(framed(inner * 3), limit=10, last=True).frames == [inner * 3]


def test_scanning_does_not_slow_down_on_headers_without_end() -> None:
    """A megabyte of frame beginnings, none of them sound."""
    block = b"SEf1" * 250_000
    assert scan(block, limit=10, last=True).frames == []


@pytest.mark.slow
def test_one_flipped_bit_costs_one_frame() -> None:
    """Anywhere, in 20,000 random files."""
    rng = random.Random(0)
    for _ in range(20_000):
        payloads = [rng.randbytes(rng.randrange(1, 200)) for _ in range(6)]
        block = bytearray(b"".join(map(framed, payloads)))
        at = rng.randrange(len(block))
        block[at] ^= 1 << rng.randrange(8)
        assert len(scan(bytes(block), limit=10, last=True).frames) == 5


def test_the_header_has_its_documented_size() -> None:
    """16 bytes."""
    assert len(framed(b"")) == HEADER == 16
