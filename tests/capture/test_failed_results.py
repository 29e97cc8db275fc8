"""A tool call that failed without an exception is told by its result."""

import asyncio
from dataclasses import dataclass

import pytest

from shadoweval import Experiment, Traffic, tool
from shadoweval.capture.failed_results import failure_in, judged, lookalike
from shadoweval.records import ToolCall
from shadoweval.testing import MemoryTransport


@dataclass
class CallToolResult:
    """As MCP's."""

    content: list
    isError: bool = False


@dataclass
class ToolMessage:
    """As LangChain's."""

    content: str
    status: str = "success"


@dataclass
class Order:
    """A result of a class of one's own, which may have an `error` that means something else."""

    cents: int
    error: float = 0.1


FAILED = [
    {"error": "no such order"},
    {"error": {"code": 7}, "data": None},
    {"isError": True, "content": []},
    {"is_error": True},
    {"content": "x", "status": "error"},
    {"ok": False},
    {"success": False, "message": "declined"},
    {"status": 404},
    {"status_code": 500, "body": ""},
    {"statusCode": 429},
    '{"error": "no such order"}',
    "Error: no such order",
    "error executing tool refund",
    "  Traceback (most recent call last):",
    CallToolResult([], isError=True),
    ToolMessage("no such order", status="error"),
    ValueError("x"),
    {"status": "503 Service Unavailable"},
    {"http_status": 404},
    {"data": None, "errors": [{"message": "no such field"}]},
    {"content": [{"type": "text", "text": "Error: no such order"}]},
    {"content": [{"type": "text", "text": '{"error": "no such order"}'}], "isError": False},
    {"content": [], "structuredContent": {"ok": False}},
    [{"type": "text", "text": "Error: no such order"}],
    "❌ Error: no such order",
    "[ERROR] no such order",
    "ERROR while fetching K-1",
    "An error occurred: no such order",
    "KeyError: 'K-1'",
    "requests.exceptions.HTTPError: 404",
    "HTTP 503",
    "HTTP/1.1 404 Not Found",
    "500 Internal Server Error",
    "404: Not Found",
    "Exception: no such order",
    "Internal error: try later",
]
FINE = [
    None,
    "",
    "not found",
    "No errors were found",
    "{not json",
    '{"error": null, "total": 1}',
    0,
    False,
    [],
    {},
    {"error": None, "total": 1},
    {"error": "", "errors": []},
    {"ok": True},
    {"status": 200},
    {"status": True},
    {"status": "failed"},
    {"total": 990},
    [{"error": "of one of many"}],
    (1, 2),
    CallToolResult([]),
    ToolMessage("x"),
    Order(cents=990),
    {"error": "none"},
    {"status": 2_000},
    {"status": "404th in the queue"},
    {"content": [{"type": "text", "text": "404 orders"}]},
    {"content": "a page", "title": "errors"},
    "404 orders",
    "Errors are values",
    "The error: what it means",
    "Error handling in Python",
    "HTTP is a protocol",
    "Exceptional: five stars",
]
LIKE = [
    "not found",
    "Failed to look it up",
    "Sorry, I could not do that",
    "Order not found",
    "permission denied",
    "Unable to reach the shop",
    "request timed out",
    {"status": "failed"},
    {"errors": ["a", "b"]},
    {"error_message": "no such order"},
    {"code": 404},
    {"result": {"error": "no such order"}},
    '{"state": "rejected"}',
    {"content": [{"type": "text", "text": "not found"}]},
]
UNLIKE = [
    "",
    "K-1 costs 5",
    {"status": "shipped"},
    {"errors": []},
    {"code": 200},
    [],
    None,
    404,
    {"result": {"total": 1}},
]


@pytest.mark.parametrize("result", FAILED, ids=repr)
def test_common_forms_of_failure_are_known(result):
    """Whoever made the tool."""
    assert failure_in(result)


@pytest.mark.parametrize("result", FINE, ids=repr)
def test_other_results_are_results(result):
    """Nothing is guessed from words."""
    assert failure_in(result) == ""


@pytest.mark.parametrize("result", LIKE, ids=repr)
def test_what_looks_like_a_failure_is_none_and_is_noticed(result):
    """Nobody can tell it from an answer, but for whoever made the tool."""
    call = judged(ToolCall(name="look", result=result), {})

    assert call.succeeded
    assert lookalike(call)
    assert not lookalike(judged(call, {"look": lambda _: False}))


@pytest.mark.parametrize("result", UNLIKE, ids=repr)
def test_ordinary_results_look_like_none(result):
    """They are no news."""
    assert not lookalike(judged(ToolCall(name="look", result=result), {}))


def test_what_the_experiment_says_wins():
    """Over the tool, which wins over the rule; an error stays one."""
    call = ToolCall(name="look", result={"error": "x"})

    assert judged(call, {}).failed == "error"
    assert judged(call, {"look": lambda _: False}).failed == ""
    assert judged(ToolCall(name="look", result="gone", failed=""), {}).failed == ""
    assert (
        judged(ToolCall(name="look", result="gone", failed=""), {"look": lambda _: "it is gone"}).failed == "it is gone"
    )
    assert judged(ToolCall(name="look", error="KeyError: 1"), {"look": lambda _: False}).succeeded is False


def test_a_judge_that_raises_makes_no_success():
    """What it can't take is said."""
    call = judged(ToolCall(name="look", result=None), {"look": lambda result: result["total"]})

    assert call.failed.startswith("failed= raised TypeError")
    assert not call.succeeded


@tool(failed=lambda result: result == "not found")
def find(order):
    """Says so in words."""
    return "Ann" if order == "K-1" else "not found"


@tool(failed=lambda result: 1 / 0)
async def look_async(order):
    """Has a judge that raises."""
    return order


def ask(question):
    return find("K-1"), find("K-2")


async def ask_async(question):
    return await look_async("K-1")


def test_a_tools_own_word_stands_in_what_was_served():
    """As whoever runs the evaluation may not have the tool."""
    transport = MemoryTransport()
    experiment = Experiment(name="t", candidates={"c": "m:f"}, traffic=Traffic(transport=transport))

    assert experiment.mirror(control=0.0)(ask)("q") == ("Ann", "not found")

    (envelope,) = transport.envelopes
    assert [call.failed for call in envelope.served.tool_calls] == ["", "failed= says so"]
    assert [call.result for call in envelope.served.tool_calls] == ["Ann", "not found"]
    assert [step.error for step in envelope.served.steps] == [None, None]


async def _asked(mirrored):
    return await mirrored("q")


def test_a_tools_own_word_never_reaches_the_caller():
    """A judge that raises costs nobody an answer."""
    transport = MemoryTransport()
    experiment = Experiment(name="t", candidates={"c": "m:f"}, traffic=Traffic(transport=transport))

    assert asyncio.run(_asked(experiment.mirror(control=0.0)(ask_async))) == "K-1"

    (call,) = transport.envelopes[0].served.tool_calls
    assert call.failed == "failed= raised ZeroDivisionError: division by zero"
