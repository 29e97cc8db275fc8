import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_threads"))
def test_threads(row, compared):
    compared(row)
