"""One rule from the returned value to the outcome, for both arms."""

import dataclasses
from typing import Any

import msgspec
import pytest

from shadoweval.capture import Parts, outcome_of
from shadoweval.capture.chunks import outcome_of_chunks
from shadoweval.capture.failures import failure_of
from shadoweval.errors import ToolRefusedError
from shadoweval.records import Hit, Outcome, ToolCall


@dataclasses.dataclass
class Reply:
    """What a pipeline may return."""

    answer: str
    sources: tuple[str, ...] = ()


def test_a_value_becomes_data() -> None:
    """Objects are mappings of their fields, tuples are lists; an outcome can be encoded as it is."""
    outcome = outcome_of({"answer": "a", "reply": Reply("b", ("c",))})
    assert outcome.value == {"answer": "a", "reply": {"answer": "b", "sources": ["c"]}}
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(outcome), type=Outcome) == outcome


@pytest.mark.parametrize("value", [object(), lambda: 0, {"x", object()}.__iter__()])
def test_what_is_no_data_is_left_out(value: Any) -> None:
    """No value rather than a reference."""
    assert outcome_of(value).value is None
    assert not outcome_of(value).truncated


def test_too_large_a_value_is_left_out_and_said() -> None:
    """The answer stays."""
    outcome = outcome_of({"answer": "a", "blob": "x" * 2000}, max_bytes=1000)
    assert (outcome.answer, outcome.value, outcome.truncated) == ("a", None, True)


def test_numbers_over_64_bits_are_kept() -> None:
    """By the codec's own form."""
    from shadoweval import codec

    outcome = outcome_of({"n": 2**80})
    assert codec.thaw(msgspec.msgpack.encode(outcome.value)) == {"n": 2**80}


def test_what_was_recorded_is_part_of_it() -> None:
    """Unless the experiment's own reading says otherwise."""
    parts = Parts(hits=(Hit(id="a", rank=1),), tool_calls=(ToolCall(name="t"),), truncated=True)
    outcome = outcome_of("x", parts=parts)
    assert (outcome.hits, outcome.tool_calls, outcome.truncated) == (parts.hits, parts.tool_calls, True)
    told = outcome_of(
        {"docs": [{"id": "b"}]}, parts=parts, extract=lambda value: {"answer": "y", "hits": value["docs"]}
    )
    assert [hit.id for hit in told.hits] == ["b"]
    kept = outcome_of("x", parts=parts, extract=lambda value: Outcome(answer=value))
    assert kept.hits == parts.hits


@pytest.mark.parametrize(
    ("chunks", "answer", "value"),
    [
        (["a", "b"], "ab", None),
        ([], "", None),
        ([{"text": "a"}, {"text": "b"}], "ab", [{"text": "a"}, {"text": "b"}]),
        ([{"n": 1}], None, [{"n": 1}]),
        (["a", {"n": 1}], None, ["a", {"n": 1}]),
    ],
)
def test_streams_are_joined(chunks: list[Any], answer: str | None, value: Any) -> None:
    """Texts to an answer; other chunks stay as they were."""
    outcome = outcome_of_chunks(chunks)
    assert (outcome.answer, outcome.value, outcome.chunks) == (answer, value, len(chunks))


def test_a_streams_own_reading_gets_the_text() -> None:
    """`outcome=` works for streams as for functions."""
    outcome = outcome_of_chunks(["a", "b"], extract=lambda text: {"answer": text.upper()})
    assert (outcome.answer, outcome.chunks) == ("AB", 2)


def test_a_failure_tells_what_happened_where() -> None:
    """Kind, type, message and the first step that failed."""
    failure = failure_of(ValueError("no"), Parts(failed_step="look"))
    assert (failure.kind, failure.error_type, failure.message, failure.step) == ("error", "ValueError", "no", "look")
    assert failure_of(ToolRefusedError("pay", "write")).kind == "refused"
    assert len(failure_of(ValueError("x" * 10_000)).message) == 2_000
