"""An agent that makes five tool calls a question, and a candidate of which every fifth fails, each time in another way.

By `@tool` functions, by LangChain's tools in an agent, and by the tools of an MCP server.
"""

import json
import re

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import ToolException
from langchain_core.tools import tool as langchain_tool
from mcp.client.client import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import CallToolResult, TextContent, ToolAnnotations

import shadoweval

WAYS = 8
DECLINED = re.compile("^DECLINED")


def way_of(question):
    """Which of the ways the fifth call of a question takes."""
    return int(question.split()[-1]) % WAYS


# By @tool.


@shadoweval.tool(effect="read")
def look(number: int, way: int = -1):
    """Answers, or fails without an exception."""
    failures = {
        1: {"error": "no such order"},
        2: {"status": 503, "body": ""},
        3: "Error: no such order",
        4: {"isError": True, "content": []},
        5: json.dumps({"ok": False}),
    }
    if way == 0:
        raise ConnectionError("down")
    return failures.get(way, {"order": number})


@shadoweval.tool(effect="read", failed={"$.state": ["declined"]})
def state_of(number: int, way: int = -1):
    """Says in its own words that it failed."""
    return {"state": "declined" if way == 6 else "shipped"}


def by_functions(question, way=-1):
    for number in range(4):
        look(number=number)
    try:
        if way == 7:
            state_of(nr=4)
        elif way == 6:
            state_of(number=4, way=way)
        else:
            look(number=4, way=way)
    except Exception as error:
        return f"sorry: {error}"
    return "done"


def functions(question):
    return by_functions(question)


def failing_functions(question):
    return by_functions(question, way_of(question))


# By LangChain's tools.

READ = {"effect": "read"}


@langchain_tool
def find(number: int, way: int = -1):
    """Find an order."""
    if way == 0:
        raise ToolException("down")
    return {1: {"error": "no such order"}, 2: {"status_code": 404}, 3: "Error: no such order"}.get(way, "found it")


find.metadata, find.handle_tool_error = READ, True


@langchain_tool
def pay_state(number: int, way: int = -1):
    """State of a payment."""
    return "DECLINED by the bank" if way == 7 else "paid"


pay_state.metadata = READ


class Script(BaseChatModel):
    """Asks for five calls, one after the other, and then answers."""

    way: int = -1

    @property
    def _llm_type(self):
        return "script"

    def bind_tools(self, tools, **_):
        return self

    def _generate(self, messages, *_, **__):
        made = sum(isinstance(message, ToolMessage) for message in messages)
        return ChatResult(generations=[ChatGeneration(message=self.message(made))])

    def message(self, made):
        if made == 5:
            return AIMessage("done")
        call = {"name": "find", "args": {"number": made}, "id": f"c-{made}", "type": "tool_call"}
        if made < 4 or self.way < 0:
            return AIMessage("", tool_calls=[call])
        if self.way == 6:
            lost = {"name": "find", "args": '{"number": ', "id": "c-4", "error": "cut", "type": "invalid_tool_call"}
            return AIMessage("sorry", invalid_tool_calls=[lost])
        changed = {4: {"name": "fnid"}, 5: {"args": {"number": "no number"}}, 7: {"name": "pay_state"}}
        call["args"]["way"] = self.way
        return AIMessage("", tool_calls=[{**call, **changed.get(self.way, {})}])


def by_agent(question, way=-1):
    agent = create_agent(Script(way=way), [find, pay_state])
    return agent.invoke({"messages": [("user", question)]})["messages"][-1].text


def agent(question):
    return by_agent(question)


def failing_agent(question):
    return by_agent(question, way_of(question))


# By the tools of an MCP server.

server = MCPServer("shop", log_level="CRITICAL")
ONLY_READS = ToolAnnotations(read_only_hint=True)


@server.tool(annotations=ONLY_READS)
def trace(number: int, way: int = -1) -> CallToolResult:
    """Where a parcel is."""
    if way == 0:
        raise ConnectionError("down")
    said = {
        1: '{"error": "no such parcel"}',
        2: '{"status": 500}',
        3: "Error: no such parcel",
        4: '{"success": false}',
        5: "DECLINED",
    }.get(way, "on its way")
    return CallToolResult(content=[TextContent(type="text", text=said)])


async def by_server(question, way=-1):
    async with Client(server) as client:
        await client.list_tools()
        for number in range(4):
            await client.call_tool("trace", {"number": number})
        name = "tarce" if way == 6 else "trace"
        sent = {"number": "no number"} if way == 7 else {"number": 4, "way": way}
        result = await client.call_tool(name, sent)
        return result.content[0].text


async def parcels(question):
    return await by_server(question)


async def failing_parcels(question):
    return await by_server(question, way_of(question))
