import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_beside"))
def test_beside(row, compared):
    compared(row)
