"""The short road writes what the codec writes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import codec
from shadoweval.capture.wire.inputs import freeze_call
from shadoweval.errors import TooLargeError

ATOMS = st.one_of(st.text(max_size=300), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
VALUES = st.recursive(ATOMS, lambda inner: st.one_of(st.lists(inner), st.tuples(inner), st.dictionaries(ATOMS, inner)))
LONG = st.integers(0, 70_000).map(lambda n: ("x" * n,))


@given(
    args=st.one_of(st.lists(VALUES, max_size=4).map(tuple), LONG), kwargs=st.dictionaries(st.text(), VALUES, max_size=3)
)
def test_frozen_calls_are_the_codecs(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Byte for byte, for text and numbers as for anything else."""
    try:
        expected = codec.freeze((args, kwargs))
    except UnicodeEncodeError:  # a lone surrogate
        with pytest.raises(UnicodeEncodeError):
            freeze_call(args, kwargs, max_bytes=1 << 20)
        return
    assert freeze_call(args, kwargs, max_bytes=1 << 20) == expected


@pytest.mark.parametrize(("args", "kwargs"), [(("x" * 2000,), {}), ((), {"q": "x" * 2000}), ((["x" * 2000],), {})])
def test_the_cap_holds(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Arguments over the cap are not copied."""
    with pytest.raises(TooLargeError):
        freeze_call(args, kwargs, max_bytes=1000)
