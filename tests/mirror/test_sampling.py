"""The bucket function is specified, and the same for ever."""

import hashlib
import os
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.buckets import bucket, chance, request_id
from shadoweval.errors import ShareError
from shadoweval.mirror import Mirror

# salt, unit, first 16 hexadecimal digits of SHA-256("salt:unit") by coreutils' sha256sum (docs/sampling.md).
VECTORS = [
    ("support", "user-1", "f10c423659707607"),
    ("support", "user-2", "4ca8aa8ab620af15"),
    ("support", "user-42", "507d89a204506952"),
    ("rerank", "user-1", "b38d3b6f2f1dcd09"),
    ("", "user-1", "8b044bb5709c9a55"),
    ("support", "", "a37fbfe430a99317"),
    ("support", "Zoë", "c99f62915794ef4c"),
    ("2026-q1", "session:8f14e45f", "61dd87a5ff01f49e"),
    ("support", "日本語", "5d30a0d30b0118c9"),
    ("layer", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "3946f9133f377ec0"),
]


@pytest.mark.parametrize(("salt", "unit", "digits"), VECTORS)
def test_the_published_vectors_hold(salt: str, unit: str, digits: str) -> None:
    """Another implementation that follows the specification puts every unit in the same place."""
    assert bucket(salt, unit) == int(digits, 16) / 2**64


@given(salt=st.text(max_size=20), unit=st.text(max_size=40))
def test_it_is_the_specified_function(salt: str, unit: str) -> None:
    """For any text, surrogates aside, which are no UTF-8."""
    assert bucket(salt, unit) == int(hashlib.sha256(f"{salt}:{unit}".encode()).hexdigest()[:16], 16) / 2**64


@given(unit=st.text(max_size=20), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_larger_share_keeps_who_was_in(unit: str, low: float, high: float) -> None:
    """Ramping up never takes a user out."""
    low, high = sorted((low, high))
    assert (bucket("s", unit) < low) <= (bucket("s", unit) < high)


def test_buckets_and_control_are_uniform_and_independent(kept: Any) -> None:
    """Chi-square of 10 buckets, each mirrored or left alone, over 20,000 units; 19 degrees, 0.1 % point 43.8."""
    chance.seed(20_260_301)
    answer = Mirror("experiment", kept, control=0.5, unit=lambda unit: unit)(lambda unit: unit)
    units = [f"user-{n}" for n in range(20_000)]
    for unit in units:
        answer(unit)
    mirrored = {envelope.query.unit for envelope in kept.envelopes}
    cells = [0] * 20
    for unit in units:
        cells[2 * int(bucket("experiment", unit) * 10) + (unit in mirrored)] += 1
    assert sum((count - 1000) ** 2 / 1000 for count in cells) < 43.8


def test_calls_without_a_unit_are_sampled_by_chance(kept: Any) -> None:
    """Each on its own, in the stated share, and their buckets are uniform below it: a smaller share lies inside."""
    chance.seed(20_260_302)
    answer = Mirror("experiment", kept, control=0.0, sample=0.2)(lambda question: question)
    for n in range(20_000):
        answer(str(n))
    cells = [0] * 10
    for envelope in kept.envelopes:
        cells[int(envelope.query.bucket / 0.02)] += 1
    assert sum((count - 400) ** 2 / 400 for count in cells) < 29.6  # 10 degrees: the number of calls is by chance too


def test_an_application_that_seeds_random_gets_its_own_numbers(kept: Any) -> None:
    """We draw from a generator of our own."""
    answer = Mirror("experiment", kept, control=0.5, sample=0.5)(lambda: None)
    random.seed(7)
    expected = random.random()
    random.seed(7)
    for _ in range(100):
        answer()
    assert random.random() == expected


@pytest.mark.parametrize("share", [-0.1, 1.1, "0.5", None, True, float("nan")])
def test_a_share_is_a_number_from_0_to_1(share: object) -> None:
    """A percentage or a flag by mistake is an error when the mirror is made, not in production."""
    with pytest.raises(ShareError):
        Mirror("x", lambda: None, sample=share)


def test_children_of_a_process_make_other_ids() -> None:
    """The counter and its prefix are not inherited by fork."""
    mine = request_id()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, request_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert theirs[:16] != mine[:16]


def test_the_vectors_come_from_another_program() -> None:
    """sha256sum gives the digits of the table."""
    salt, unit, digits = VECTORS[0]
    try:
        told = subprocess.run(["sha256sum"], input=f"{salt}:{unit}".encode(), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("no sha256sum here")
    assert told.stdout.decode()[:16] == digits
    assert sys.byteorder  # the digits are big-endian whatever the machine is
