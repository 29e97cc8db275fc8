import pytest

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_graph_streams"))
def test_graph_streams(row, compared):
    compared(row)
