import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_retrieving"))
def test_retrieving(row, compared):
    compared(row)
