import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_values"))
def test_values(row, compared):
    compared(row)
