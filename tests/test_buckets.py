"""The bucket function."""

import hashlib
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.buckets import bucket, first_out, within

ROW = re.compile(r"^\| (\S+|\(empty\)|64 times `a`) \| (.+?) \| `([0-9a-f]{16})` \| ([0-9.]+) \|$", re.MULTILINE)
TEXT = (Path(__file__).parents[1] / "docs" / "sampling.md").read_text(encoding="utf-8")
NAMES = {"(empty)": "", "64 times `a`": "a" * 64}
VECTORS = [
    (NAMES.get(salt, salt.strip("`")), NAMES.get(unit, unit.strip("`")), digits, float(place))
    for salt, unit, digits, place in ROW.findall(TEXT)
]
"""The published table: other languages are tested against it, so it never changes."""


def test_the_table_was_read():
    """The documentation has its ten vectors, among them one without ASCII and two with nothing."""
    assert len(VECTORS) == 10
    assert ("support", "user-1", "f10c423659707607", 0.9415933020295045) in VECTORS
    assert {"", "日本語"} <= {unit for _, unit, _, _ in VECTORS}
    assert "" in {salt for salt, _, _, _ in VECTORS}


@pytest.mark.parametrize(("salt", "unit", "digits", "place"), VECTORS)
def test_the_published_vectors(salt, unit, digits, place):
    """Salt and unit give the published number, today and in every later version."""
    assert hashlib.sha256(f"{salt}:{unit}".encode()).hexdigest()[:16] == digits
    assert bucket(salt, unit) == place


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_it_is_what_the_specification_says(salt, unit):
    """The fast way gives what the written formula gives."""
    number = int(hashlib.sha256(f"{salt}:{unit}".encode()).hexdigest()[:16], 16)

    assert bucket(salt, unit) == float(Fraction(number, 2**64))


def test_a_share_takes_about_that_share():
    """Of 20,000 units 10 % and 30 % are in, within four standard errors, and the 10 % are among the 30 %."""
    units = [f"user-{i}" for i in range(20_000)]
    small = {unit for unit in units if within(0.1, "support", unit)}
    large = {unit for unit in units if within(0.3, "support", unit)}

    assert abs(len(small) - 2_000) < 4 * (20_000 * 0.1 * 0.9) ** 0.5
    assert abs(len(large) - 6_000) < 4 * (20_000 * 0.3 * 0.7) ** 0.5
    assert small < large


def test_salts_deal_anew():
    """Under two salts being in is independent: of the 10 % about 10 % are in under the other one."""
    both = sum(within(0.1, "a", str(i)) and within(0.1, "b", str(i)) for i in range(20_000))

    assert abs(both - 200) < 4 * (20_000 * 0.01 * 0.99) ** 0.5


def test_all_and_nobody():
    """A share of 1 is everyone and 0 is nobody, whatever rounding does to the largest buckets."""
    assert all(within(1.0, "s", str(i)) for i in range(1000))
    assert not any(within(0.0, "s", str(i)) for i in range(1000))


def test_a_unit_that_is_no_text_is_an_error():
    """A lone surrogate has no UTF-8: it raises, which the caller counts, instead of landing somewhere."""
    with pytest.raises(UnicodeEncodeError):
        bucket("support", "\ud800")


@given(st.floats(0, 1, exclude_min=True), st.text(st.characters(codec="utf-8")), st.booleans())
def test_the_first_hash_that_is_out_says_what_the_bucket_says(share, unit, at_the_edge):
    """Also where the share is a unit's own bucket, and rounding decides."""
    share = bucket("s", unit) or share if at_the_edge else share

    assert (hashlib.sha256(f"s:{unit}".encode()).digest() < first_out(share)) is within(share, "s", unit)


@given(st.integers(0, 2**64 - 1025), st.integers(-3, 3))  # above, the share is rounded to 1, which takes everyone
def test_the_first_hash_that_is_out_is_the_first(number, step):
    """Hashes just below it are in, it and those above it are out, by the rounded bucket."""
    share = float(Fraction(number, 2**64)) or 2.0**-64
    least = int.from_bytes(first_out(share)[:8], "big")
    near = min(max(least + step, 0), 2**64 - 1)

    assert (float(Fraction(near, 2**64)) < share) is (near < least)
