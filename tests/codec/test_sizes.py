import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import codec

DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def counted(value):
    """Lists, mappings and texts of a value, by walking over the objects."""
    if isinstance(value, str):
        return 1
    if isinstance(value, list):
        return 1 + sum(map(counted, value))
    if isinstance(value, dict):
        return 1 + sum(counted(name) + counted(part) for name, part in value.items())
    return 0


@given(DATA)
def test_elements_are_counted_as_a_reader_meets_them(value):
    """Against a walk over what msgpack's own reader makes; never less than what is there by the quick look."""
    raw = msgspec.msgpack.encode(value)

    assert codec.elements(raw, 10**6) == counted(value)


@given(st.binary(max_size=300))
def test_damaged_bytes_are_counted_to_their_end(raw):
    """Whatever they say of lengths, it ends, and nothing raises."""
    assert codec.elements(raw, 10**6) <= len(raw)


def test_what_extensions_hold_counts():
    """A tuple is an extension of ours, and takes memory as a list does."""
    assert codec.elements(codec.freeze(tuple([] for _ in range(1000))), 10**6) >= 1000


@pytest.mark.parametrize(
    ("value", "crowded"),
    [
        ([[] for _ in range(300_000)], True),
        ([{} for _ in range(300_000)], True),
        ("\u0434" * 1_000_000, False),
        ([1.5] * 300_000, False),
        ([], False),
    ],
)
def test_only_lists_and_mappings_make_a_crowd(value, crowded):
    """A long text in any language and many numbers are none."""
    assert codec.crowded(msgspec.msgpack.encode(value)) is crowded


def test_heft_is_no_less_than_what_lists_take():
    """Which are one byte each in a frame."""
    raw = msgspec.msgpack.encode([[] for _ in range(10_000)])

    assert codec.heft(raw) >= 10_000 * (sys.getsizeof([]) + 8)
