import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_returns"))
def test_returns(row, compared):
    compared(row)
