import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_models"))
def test_models(row, compared):
    compared(row)
