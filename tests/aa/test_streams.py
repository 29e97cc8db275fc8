import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_streams"))
def test_streams(row, compared):
    compared(row)
