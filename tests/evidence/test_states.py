import base64
import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.states import field, numbers, pack, unpack


@given(hnp.arrays(np.float64, st.integers(0, 60), elements=st.floats(allow_nan=False, allow_infinity=False)))
def test_packed_arrays_come_back_to_the_last_bit(array):
    """Any finite float64."""
    assert unpack(pack(array), array.size).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "text",
    [
        "not base 85 \u00e9",
        base64.b85encode(b"not compressed").decode(),
        pack(np.zeros(3)),
        pack(np.zeros(5)),
        pack(np.array([1.0, 2.0, math.nan, 4.0])),
        base64.b85encode(zlib.compress(b"12345")).decode(),
    ],
)
def test_damaged_text_is_refused(text):
    """Foreign text, other sizes, NaN and odd bytes raise."""
    with pytest.raises(StatsInputError):
        unpack(text, 4)


def test_a_bomb_is_never_inflated():
    """A text that claims a hundred megabytes of zeros is refused after the bytes that were asked for."""
    import tracemalloc

    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(bytes(1_000_000)) for _ in range(100)) + bomb.flush()
    text = base64.b85encode(packed).decode()
    tracemalloc.start()
    with pytest.raises(StatsInputError):
        unpack(text, 201)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


@pytest.mark.parametrize("value", [None, "7", True, 1.5])
def test_fields_of_another_type_are_refused(value):
    """A count is an int, and neither text nor truth nor a fraction."""
    with pytest.raises(StatsInputError, match="'n' should be of type int"):
        field({"n": value}, "n", int)


def test_an_int_serves_as_a_float():
    """JSON does not tell 1 from 1.0."""
    assert field({"x": 1}, "x", float) == 1.0


@pytest.mark.parametrize("values", [[1.0], [1.0, None], [1.0, math.inf], "ab"])
def test_lists_must_hold_the_right_number_of_finite_numbers(values):
    """Too few, gaps, infinities and text raise."""
    with pytest.raises(StatsInputError):
        numbers({"sums": values}, "sums", 2)
