"""Candidates that use an MCP server over stdio: `question` is the command, a tool and its argument, as JSON."""

import json

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

ARGUMENT = {"look_up": "order", "refund": "order", "fail": "how", "reach_out": "path"}


async def ask(question, *, call=ClientSession.call_tool):
    words, tool, argument = json.loads(question)
    parameters = StdioServerParameters(command=words[0], args=words[1:])
    async with stdio_client(parameters) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await session.list_tools()
        result = await call(session, tool, {ARGUMENT[tool]: argument})
        return " ".join(part.text for part in result.content)


async def answer(question):
    """As pipelines do it."""
    return await ask(question, call=ClientSession.call_tool)


async def bypassing(question):
    """Around what answers tools in a shadow."""
    return await ask(question, call=ClientSession.call_tool.__wrapped__)


async def catching(question):
    """A failure of the server's is answered all the same."""
    try:
        return await ask(question, call=ClientSession.call_tool)
    except Exception:
        return "sorry"
