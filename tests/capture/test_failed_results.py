"""A tool call that failed without an exception is told by its result."""

import asyncio
from dataclasses import dataclass

import pytest

from shadoweval import Experiment, Traffic, tool
from shadoweval.capture.failed_results import failure_in, judged
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
]


@pytest.mark.parametrize("result", FAILED, ids=repr)
def test_common_forms_of_failure_are_known(result):
    """Whoever made the tool."""
    assert failure_in(result)


@pytest.mark.parametrize("result", FINE, ids=repr)
def test_other_results_are_results(result):
    """Nothing is guessed from words."""
    assert failure_in(result) == ""


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
