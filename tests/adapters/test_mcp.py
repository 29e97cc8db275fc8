"""Tools of MCP servers: a server in this process, and the SDK's own client."""

import asyncio

import pytest

pytest.importorskip("mcp.server.mcpserver", reason="version 2 of MCP's SDK is not installed")

from mcp.client.client import Client
from mcp.server.mcpserver import MCPServer
from mcp_types import ToolAnnotations

from shadoweval.capture import Recorder, recording, set_interceptor
from shadoweval.errors import ToolRefusedError
from shadoweval.protocols import StubAnswer


def shop(ran):
    server = MCPServer("shop")

    @server.tool(annotations=ToolAnnotations(read_only_hint=True))
    def look_up(order: str) -> str:
        ran.append(order)
        return f"{order} costs 5"

    @server.tool()
    def refund(order: str) -> str:
        ran.append(order)
        return f"{order} refunded"

    return server


def call(server, *names, listed=True):
    async def run():
        async with Client(server) as client:
            if listed:
                await client.list_tools()
            results = await asyncio.gather(*(client.call_tool(name, {"order": "o-1"}) for name in names))
            return [result.content[0].text for result in results]

    return asyncio.run(run())


@pytest.mark.parametrize("listed", [True, False])
def test_calls_are_recorded_with_the_effect_that_the_server_says(listed):
    """Annotations are known when tools were listed; else a call counts as a write."""
    with recording(Recorder()) as recorder:
        texts = call(shop([]), "look_up", "refund", "refund", listed=listed)
    assert recorder.fault is None
    assert texts == ["o-1 costs 5", "o-1 refunded", "o-1 refunded"]
    calls = sorted(recorder.parts().tool_calls, key=lambda made: (made.name, made.occurrence))
    read = "read" if listed else "unknown"
    assert [(c.name, c.effect, c.arguments) for c in calls] == [
        ("look_up", read, {"order": "o-1"}),
        ("refund", "unknown", {"order": "o-1"}),
        ("refund", "unknown", {"order": "o-1"}),
    ]
    assert calls[0].result["content"][0]["text"] == "o-1 costs 5"


def test_outside_a_recording_nothing_is_done():
    """The server answers, as without us."""
    ran = []
    assert call(shop(ran), "refund") == ["o-1 refunded"]
    assert ran == ["o-1"]


STUBS = {
    "a text": ("from a stub", "from a stub"),
    "data": ({"order": 5}, '{"order": 5}'),
    "the protocol's result": ({"content": [{"type": "text", "text": "as recorded"}], "isError": False}, "as recorded"),
}


@pytest.mark.parametrize("kind", STUBS)
def test_in_a_shadow_the_server_runs_nothing(kind):
    """What answers gives a text, data or the protocol's result; the caller gets the SDK's object."""
    result, text = STUBS[kind]
    ran = []

    class Stub:
        def answer(self, name, arguments, *, effect, live):
            return StubAnswer(answered="stubbed", result=result)

    before = set_interceptor(Stub())
    try:
        assert call(shop(ran), "refund") == [text]
    finally:
        set_interceptor(before)
    assert ran == []


def test_a_refusal_reaches_the_caller():
    """Fail closed: without an answer nothing runs."""
    ran = []

    class Refusing:
        def answer(self, name, arguments, *, effect, live):
            return StubAnswer(answered="refused")

    before = set_interceptor(Refusing())
    try:
        with pytest.raises(ExceptionGroup) as caught:
            call(shop(ran), "refund")
    finally:
        set_interceptor(before)
    assert caught.value.subgroup(ToolRefusedError) is not None
    assert ran == []
