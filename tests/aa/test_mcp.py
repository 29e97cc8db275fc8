import pytest

pytest.importorskip("mcp.server.mcpserver", reason="version 2 of MCP's SDK is not installed")

from .conftest import rows


@pytest.mark.parametrize("row", rows("aa_mcp"))
def test_mcp(row, compared):
    compared(row)
