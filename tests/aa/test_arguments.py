import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_arguments"))
def test_arguments(row, compared):
    compared(row)
