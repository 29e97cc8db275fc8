import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_processes"))
def test_processes(row, compared):
    compared(row)
