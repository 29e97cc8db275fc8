import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_tools"))
def test_tools(row, compared):
    compared(row)
