from types import SimpleNamespace

import pytest

from shadoweval.candidate import effect_of
from shadoweval.capture import Recorder, recording

HINTS = SimpleNamespace(readOnlyHint=True, destructiveHint=None)


@pytest.mark.parametrize(
    ("facts", "effect"),
    [
        ({}, "unknown"),
        ({"metadata": None, "tags": None}, "unknown"),
        ({"metadata": {"effect": "read"}}, "read"),
        ({"metadata": {"effect": "write"}}, "write"),
        ({"metadata": {"effect": "harmless"}}, "unknown"),
        ({"tags": ["search", "read"]}, "read"),
        ({"tags": ["write"]}, "write"),
        ({"tags": ["read", "write"]}, "write"),
        ({"metadata": {"readOnlyHint": True}}, "read"),
        ({"metadata": {"readOnlyHint": False}}, "write"),
        ({"metadata": {"annotations": {"readOnlyHint": True}}}, "read"),
        ({"metadata": {"annotations": {"readOnlyHint": True, "destructiveHint": True}}}, "write"),
        ({"annotations": HINTS}, "read"),
        ({"metadata": {"effect": "read"}, "tags": ["write"]}, "write"),
    ],
)
def test_a_tool_s_effect_is_what_it_declares(facts, effect):
    """metadata, tags and MCP's hints are read; a contradiction is a write, silence is unknown."""
    assert effect_of(SimpleNamespace(name="t", **facts)) == effect


def test_the_experiment_s_word_wins():
    """A declared effect overrides whatever the tool says of itself."""
    tool = SimpleNamespace(name="t", metadata={"effect": "write"}, tags=[])

    assert effect_of(tool, declared={"t": "read"}) == "read"


@pytest.mark.parametrize(
    ("facts", "effect"), [({"tags": ["read"]}, "read"), ({"metadata": {"readOnlyHint": True}}, "read")]
)
def test_the_record_and_the_shadow_read_a_tool_alike(facts, effect):
    """What the incumbent's calls are recorded as is what the candidate's are answered as."""
    from langchain_core.tools import StructuredTool

    def look(order: str) -> str:
        """Look it up."""
        return order

    tool = StructuredTool.from_function(look, **facts)
    recorder = Recorder()
    with recording(recorder):
        tool.invoke({"order": "K-1"})

    assert [call.effect for call in recorder.parts().tool_calls] == [effect]
    assert effect_of(tool) == effect
