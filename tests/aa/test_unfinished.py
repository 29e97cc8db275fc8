import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_unfinished"))
def test_unfinished(row, compared):
    compared(row)
