"""What an agent reads from its memory, and writes there, is in the trace."""

import asyncio

import pytest

pytest.importorskip("langgraph.store.memory")

from langgraph.graph import END, START, StateGraph
from langgraph.store.memory import InMemoryStore

from shadoweval.capture import Recorder, recording


def remembering(state, *, store):
    store.put(("users",), "ann", {"likes": "tea"})
    return {"answer": store.get(("users",), "ann").value["likes"]}


async def remembering_later(state, *, store):
    await store.aput(("users",), "ann", {"likes": "tea"})
    found = await store.asearch(("users",))
    return {"answer": found[0].value["likes"]}


def graph_of(node):
    builder = StateGraph(dict)
    builder.add_node("n", node)
    builder.add_edge(START, "n")
    builder.add_edge("n", END)
    return builder.compile(store=InMemoryStore())


def memory_steps(recorder):
    return [step.name for step in recorder.parts().steps if step.name.startswith("memory.")]


def test_reads_and_writes_of_a_store_are_steps():
    """Each once, in their order, whatever the store calls itself."""
    with recording(Recorder()) as recorder:
        assert graph_of(remembering).invoke({})["answer"] == "tea"

    assert memory_steps(recorder) == ["memory.put", "memory.get"]
    assert recorder.fault is None


def test_awaited_ones_too():
    """By the same names."""
    with recording(Recorder()) as recorder:
        assert asyncio.run(graph_of(remembering_later).ainvoke({}))["answer"] == "tea"

    assert memory_steps(recorder) == ["memory.put", "memory.search"]


def test_a_store_of_a_class_that_is_defined_later_is_seen_and_may_fail():
    """What it raises is the caller's, and stands in the step."""
    with recording(Recorder()):
        pass

    class Broken(InMemoryStore):
        def get(self, namespace, key, **_):
            raise ConnectionError("down")

    with recording(Recorder()) as recorder, pytest.raises(ConnectionError):
        Broken().get(("users",), "ann")
    (step,) = recorder.parts().steps

    assert (step.name, step.error) == ("memory.get", "ConnectionError: down")


def test_outside_a_recording_nothing_is_noted():
    """The store works as without us."""
    store = InMemoryStore()
    store.put(("users",), "ann", {"likes": "tea"})

    assert store.get(("users",), "ann").value == {"likes": "tea"}
