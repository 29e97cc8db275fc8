"""Calls that no tool could take."""

import pytest

from shadoweval.capture.misfits import misfit, unfit
from shadoweval.records import ToolCall

SCHEMA = {
    "type": "object",
    "properties": {
        "order": {"type": "string"},
        "cents": {"type": "integer"},
        "share": {"type": ["number", "null"]},
        "why": {"enum": ["late", "damaged"]},
        "lines": {"type": "array"},
        "whole": {"type": "boolean"},
        "any": {},
    },
    "required": ["order"],
    "additionalProperties": False,
}
# Arguments, whether they fit, and whether they do for who makes numbers of texts.
CASES = [
    ({"order": "K-1"}, True, True),
    ({"order": "K-1", "cents": 990, "share": 0.5, "why": "late", "lines": [1], "whole": True, "any": 3}, True, True),
    ({"order": "K-1", "cents": 990.0, "share": None}, True, True),
    ({}, False, False),
    ({"order": None}, False, False),
    ({"order": "K-1", "cents": "990"}, False, True),
    ({"order": "K-1", "cents": "many"}, False, False),
    ({"order": "K-1", "cents": 9.5}, False, True),
    ({"order": "K-1", "cents": True}, False, True),
    ({"order": "K-1", "whole": "True"}, False, True),
    ({"order": "K-1", "whole": 1}, False, True),
    ({"order": "K-1", "lines": "[1]"}, False, True),
    ({"order": "K-1", "lines": {}}, False, False),
    ({"order": "K-1", "why": "bored"}, False, False),
    ({"order": "K-1", "note": "x"}, False, True),
]


@pytest.mark.parametrize(("arguments", "fits", "coerced"), CASES, ids=str)
def test_arguments_fit_a_schema_as_far_as_every_tool_asks(arguments, fits, coerced):
    """And the reason is one that `misfit` knows again."""
    assert bool(unfit(arguments, SCHEMA)) is not fits
    assert bool(unfit(arguments, SCHEMA, coerced=True)) is not coerced
    if not fits:
        assert misfit(ToolCall(name="pay", error=unfit(arguments, SCHEMA))) == "arguments that don't fit"


@pytest.mark.parametrize("schema", [None, {}, True, {"properties": None}, {"type": "object"}], ids=str)
def test_a_schema_that_says_nothing_refuses_nothing(schema):
    """Whatever servers list."""
    assert unfit({"order": 1}, schema) == ""


SAID_BY_SERVERS = [
    ("Unknown tool: pya", "a tool that is not there"),
    ("Tool 'pya' not found", "a tool that is not there"),
    (
        "Error executing tool pay: 1 validation error for payArguments\norder\n  Field required",
        "arguments that don't fit",
    ),
    ("Input validation error: 'order' is a required property", "arguments that don't fit"),
    ("Error executing tool pay: down", ""),
]


@pytest.mark.parametrize(("text", "kind"), SAID_BY_SERVERS)
def test_what_servers_say_is_known(text, kind):
    """In the words of MCP's SDK."""
    result = {"content": [{"type": "text", "text": text}], "isError": True}

    assert misfit(ToolCall(name="pay", result=result, failed="isError")) == kind
