import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_imports"))
def test_imports(row, compared):
    compared(row)
