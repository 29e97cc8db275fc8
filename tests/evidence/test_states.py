import base64
import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.states import field, numbers, pack, pack_column, unpack, unpack_column


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


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.int32, np.uint64, np.bool_])
@pytest.mark.parametrize("size", [0, 1, 1_000])
def test_packed_columns_come_back_to_the_last_bit(kind, size):
    """Of any type and length, a step of a larger one too, and they can be written to; what is damaged is said."""
    column = np.random.default_rng(size).integers(0, 2**60, 2 * size).astype(kind)[::2]
    back = unpack_column(pack_column(column), kind)
    assert back.tobytes() == column.tobytes()
    back[:1] = 0
    with pytest.raises(StatsInputError, match="cannot be read"):
        unpack_column(pack_column(column)[:-8] + "????????", kind)


def test_small_whole_numbers_take_next_to_nothing():
    """Bytes of one significance lie together."""
    assert len(pack_column(np.full(100_000, 3, dtype=np.int64))) < 5_000
