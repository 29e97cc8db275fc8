import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_failures"))
def test_failures(row, compared):
    compared(row)
