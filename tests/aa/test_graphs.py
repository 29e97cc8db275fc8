import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_graphs"))
def test_graphs(row, compared):
    compared(row)
