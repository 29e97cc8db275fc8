"""Retrievers, steps and model calls."""

import asyncio
import time
from typing import Any

import pytest

from shadoweval.capture import Recorder, record_hits, record_model_call, recording, retriever, step
from shadoweval.records import Hit


@retriever
def find(query: str) -> list[dict[str, Any]]:
    return [{"id": "a", "text": "A", "score": 0.9}, {"id": "b", "text": "B", "score": 0.5}]


@retriever(name="dense")
async def afind(query: str) -> list[dict[str, Any]]:
    await asyncio.sleep(0)
    return [{"id": "b", "text": "B", "score": 0.7}, {"id": "c", "text": "C", "score": 0.1}]


@retriever(replace=True)
def rerank(query: str) -> list[dict[str, Any]]:
    return [{"id": "c", "text": "C", "score": 2.0}]


def test_hits_are_ranked_as_they_were_returned() -> None:
    """With score and text, ranks from 1."""
    with recording(Recorder()) as recorder:
        assert len(find("q")) == 2
    assert recorder.parts().hits == (
        Hit(id="a", rank=1, score=0.9, text="A"),
        Hit(id="b", rank=2, score=0.5, text="B"),
    )


def test_several_retrievals_join_and_a_reranker_replaces() -> None:
    """A document found twice counts once, at its first place."""
    with recording(Recorder()) as recorder:
        find("q")
        asyncio.run(afind("q"))
        assert [(hit.id, hit.rank) for hit in recorder.parts().hits] == [("a", 1), ("b", 2), ("c", 3)]
        rerank("q")
    assert [(hit.id, hit.rank) for hit in recorder.parts().hits] == [("c", 1)]
    assert [step.name for step in recorder.parts().steps] == ["find", "dense", "rerank"]


def test_steps_have_times_and_errors() -> None:
    """Seconds since the run began, and its duration; the first failed step is named."""

    @step("model", name="llm")
    def generate(prompt: str) -> str:
        time.sleep(0.02)
        return prompt

    @step()
    async def check(prompt: str) -> str:
        raise ValueError(prompt)

    with recording(Recorder()) as recorder:
        time.sleep(0.02)
        generate("p")
        with pytest.raises(ValueError, match="p"):
            asyncio.run(check("p"))
    first, second = recorder.parts().steps
    assert (first.kind, first.name, first.error) == ("model", "llm", None)
    assert first.started >= 0.02
    assert first.duration >= 0.02
    assert (second.kind, second.name, second.error) == ("other", "check", "ValueError: p")
    assert recorder.parts().failed_step == "check"


def test_usage_is_the_sum_of_the_model_calls() -> None:
    """None where no call told it."""
    with recording(Recorder()) as recorder:
        record_model_call("m", input_tokens=10, output_tokens=2, duration=0.5)
        record_model_call("m", input_tokens=5, cost_usd=0.25, first_chunk=0.1, error="TimeoutError: ")
    usage = recorder.parts().usage
    assert (usage.input_tokens, usage.output_tokens, usage.cost_usd, usage.cpu_seconds) == (15, 2, 0.25, None)
    assert recorder.parts().steps[1].first_chunk == 0.1


@pytest.mark.parametrize("odd", ["12", b"1", float("nan"), float("inf"), -1, 10**400, {"a": 1}, object(), 1e308])
def test_a_number_that_is_none_is_unknown_and_costs_nothing_else(odd: Any) -> None:
    """Whatever a server or a pipeline gives in its place; the call's other numbers are kept."""
    recorder = Recorder()
    with recording(recorder):
        record_model_call("m", input_tokens=odd, output_tokens=3)
        record_model_call("m", cost_usd=odd, started=odd, duration=odd, first_chunk=odd)
    parts = recorder.parts()
    assert (parts.usage.input_tokens, parts.usage.output_tokens) == (None, 3)
    assert parts.usage.cost_usd in {None, 1e308}
    assert [each.name for each in parts.steps] == ["m", "m"]


def test_nothing_happens_outside_a_recording() -> None:
    """No recorder, no work."""
    record_hits([object()])
    record_model_call("m")
    assert [document["id"] for document in find("q")] == ["a", "b"]


def test_hits_are_bounded() -> None:
    """More than the cap are cut, and marked."""
    with recording(Recorder(max_items=10)) as recorder:
        record_hits([{"id": str(n)} for n in range(20)])
    assert len(recorder.parts().hits) == 10
    assert recorder.parts().truncated
