import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_raised"))
def test_raised(row, compared):
    compared(row)
