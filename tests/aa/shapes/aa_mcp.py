"""Pipelines that call the tools of an MCP server, which here runs beside them."""

import asyncio

from aa_rows import add
from mcp.client.client import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

server = MCPServer("shop")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def look_up(order: str) -> str:
    """What an order costs."""
    return f"{order} costs 5"


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def refund(order: str) -> dict:
    """Pay an order back."""
    if order == "o-4":
        raise ValueError("no such order")
    return {"refunded": order}


def _text(result):
    return " ".join(part.text for part in result.content)


async def answer(question):
    async with Client(server) as client:
        await client.list_tools()
        costs = await client.call_tool("look_up", {"order": "o-1"})
        paid = await asyncio.gather(*(client.call_tool("refund", {"order": f"o-{n}"}) for n in range(1, 5)))
        return " ".join(map(_text, [costs, *paid]))


async def unlisted(question):
    async with Client(server) as client:
        return _text(await client.session.call_tool("refund", {"order": "o-1"}))


add(__name__, "answer", answer)
add(__name__, "unlisted", unlisted)
