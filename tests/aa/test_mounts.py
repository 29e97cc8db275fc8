import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_mounts"))
def test_mounts(row, compared):
    compared(row)
