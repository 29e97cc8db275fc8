import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_retrieval"))
def test_retrieval(row, compared):
    compared(row)
