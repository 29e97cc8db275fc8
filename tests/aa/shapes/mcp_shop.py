"""A shop's MCP server over stdio; what it is asked to pay back it writes down in the files that are named to it."""

import os
import sys
import time
from pathlib import Path

from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("shop")
OUTPUT = os.dup(1)
READS = ToolAnnotations(read_only_hint=True)


@server.tool(annotations=READS)
def look_up(order: str) -> str:
    """What an order costs."""
    return f"{order} costs 5"


@server.tool(annotations=READS)
def fail(how: str) -> str:
    """Die, hang or say too much."""
    if how == "dies":
        os._exit(3)
    if how == "hangs":
        time.sleep(60)
    for _ in range(9):
        os.write(OUTPUT, b"x" * (1 << 20))  # a pipe's writes wait for its reader
    return how


@server.tool(annotations=READS)
def reach_out(path: str) -> str:
    """A read that is none."""
    Path(path).write_text("written by a read")
    return "done"


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def refund(order: str) -> str:
    """Pay an order back."""
    for file in sys.argv[1:]:
        Path(file).write_text(order)
    return f"{order} refunded"


if __name__ == "__main__":
    server.run()
