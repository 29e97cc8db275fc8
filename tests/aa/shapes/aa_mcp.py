"""Pipelines that call the tools of an MCP server, which here runs beside them."""

import asyncio
import shlex
import sys
from pathlib import Path

from aa_rows import add
from mcp import ClientSession, StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from shadoweval import Sandbox

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


COMMAND = [sys.executable, str(Path(__file__).with_name("mcp_shop.py"))]


async def over_stdio(question):
    """A server that is a process, which the pipeline starts for each question."""
    parameters = StdioServerParameters(command=COMMAND[0], args=COMMAND[1:])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await session.list_tools()
        costs = await session.call_tool("look_up", {"order": "o-1"})
        paid = await session.call_tool("refund", {"order": "o-1"})
        return f"{_text(costs)} {_text(paid)}"


add(__name__, "over_stdio", over_stdio, options={"sandbox": Sandbox(mcp={"shop": shlex.join(COMMAND)})})
