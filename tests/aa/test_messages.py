import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_messages"))
def test_messages(row, compared):
    compared(row)
