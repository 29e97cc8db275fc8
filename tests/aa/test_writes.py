import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_writes"))
def test_writes(row, compared):
    compared(row)
